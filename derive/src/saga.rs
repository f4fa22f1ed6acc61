//! From an annotated enum to its `impl SagaState`, and to one `impl StateOf` for each variant.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{
    Attribute, Data, DeriveInput, Error, Fields, Ident, Result, Type, Variant, spanned::Spanned,
};

use crate::{problems::Problems, suggest};

const OPTIONS: [&str; 1] = ["terminal"];

/// One variant: its name, what it holds, and whether the saga is over in it.
struct State<'a> {
    name: &'a Ident,
    payload: &'a Type,
    is_terminal: bool,
}

pub(crate) fn expand(input: &DeriveInput) -> TokenStream {
    let mut problems = Problems::default();
    let states = states(input, &mut problems);
    match problems.into_compile_error() {
        Some(errors) => errors,
        None => implementation(&input.ident, &states),
    }
}

fn states<'a>(input: &'a DeriveInput, problems: &mut Problems) -> Vec<State<'a>> {
    let Data::Enum(data) = &input.data else {
        problems.add(Error::new(
            input.ident.span(),
            "the states of a saga are an enum, whose variants hold one type each",
        ));
        return Vec::new();
    };
    if !input.generics.params.is_empty() {
        problems.add(Error::new_spanned(
            &input.generics,
            "a saga has one name, so its states cannot be generic",
        ));
    }
    for attribute in input.attrs.iter().filter(|attribute| is_saga(attribute)) {
        problems.add(Error::new(
            attribute.path().span(),
            "`#[saga(..)]` belongs on a variant: `#[saga(terminal)]`; the saga's name and version \
             are in `impl Saga`",
        ));
    }
    if data.variants.is_empty() {
        problems.add(Error::new(input.ident.span(), "a saga needs at least one state"));
    }
    let states: Vec<_> =
        data.variants.iter().filter_map(|variant| problems.ok(state(variant))).collect();
    refuse_shared_payloads(&states, problems);
    states
}

fn state(variant: &Variant) -> Result<State<'_>> {
    let mut is_terminal = false;
    for attribute in variant.attrs.iter().filter(|attribute| is_saga(attribute)) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("terminal") {
                return Err(unknown_option(&meta.path));
            }
            is_terminal = true;
            Ok(())
        })?;
    }
    match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            Ok(State { name: &variant.ident, payload: &fields.unnamed[0].ty, is_terminal })
        }
        _ => {
            let name = &variant.ident;
            Err(Error::new(
                variant.span(),
                format!(
                    "a state holds one value, whose type stands for it: write \
                     `{name}({name})` and a `struct {name} {{ .. }}`"
                ),
            ))
        }
    }
}

/// A type can stand for one state alone.
fn refuse_shared_payloads(states: &[State<'_>], problems: &mut Problems) {
    for (at, state) in states.iter().enumerate() {
        if let Some(other) = states[..at].iter().find(|other| text(other) == text(state)) {
            let name = other.name;
            problems.add(Error::new(
                state.payload.span(),
                format!(
                    "this type stands for the state `{name}` already; each state needs its own"
                ),
            ));
        }
    }
}

fn text(state: &State<'_>) -> String {
    state.payload.to_token_stream().to_string()
}

fn unknown_option(path: &syn::Path) -> Error {
    let written = path.get_ident().map(ToString::to_string).unwrap_or_default();
    let meant = suggest::did_you_mean(&written, OPTIONS);
    let known = suggest::list(OPTIONS);
    let problem = format!("unknown option `{written}`{meant}\nthe options of a state are {known}");
    Error::new(path.span(), problem)
}

fn is_saga(attribute: &Attribute) -> bool {
    attribute.path().is_ident("saga")
}

fn implementation(ident: &Ident, states: &[State<'_>]) -> TokenStream {
    let infos = states.iter().map(|state| {
        let (name, is_terminal) = (state.name.to_string(), state.is_terminal);
        quote!(::tidings::saga::StateInfo::new(#name, #is_terminal))
    });
    let arms = states.iter().map(|state| {
        let (variant, name) = (state.name, state.name.to_string());
        quote!(Self::#variant(_) => #name)
    });
    let each = states.iter().map(|state| of_state(ident, state));
    quote! {
        #[automatically_derived]
        impl ::tidings::saga::SagaState for #ident {
            const STATES: &'static [::tidings::saga::StateInfo] = &[#(#infos),*];

            fn state(&self) -> &'static str {
                match self {
                    #(#arms),*
                }
            }
        }
        #(#each)*
    }
}

fn of_state(ident: &Ident, state: &State<'_>) -> TokenStream {
    let (variant, payload, name) = (state.name, state.payload, state.name.to_string());
    quote! {
        #[automatically_derived]
        impl ::core::convert::From<#payload> for #ident {
            fn from(state: #payload) -> Self {
                Self::#variant(state)
            }
        }

        #[automatically_derived]
        impl ::tidings::saga::StateOf<#ident> for #payload {
            const NAME: &'static str = #name;

            #[allow(unreachable_patterns)]
            fn of(state: &#ident) -> ::core::option::Option<&Self> {
                match state {
                    #ident::#variant(state) => ::core::option::Option::Some(state),
                    _ => ::core::option::Option::None,
                }
            }
        }
    }
}
