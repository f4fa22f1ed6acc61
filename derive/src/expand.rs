//! From the annotated type to its `impl Event`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::{Attribute, Data, DeriveInput, Error, Field, spanned::Spanned};

use crate::{
    attributes::{self, Attributes},
    key,
    problems::Problems,
};

pub(crate) fn expand(input: &DeriveInput) -> TokenStream {
    let mut problems = Problems::default();
    refuse_unsuitable_types(input, &mut problems);
    refuse_misplaced_attributes(input, &mut problems);
    let attributes = Attributes::read(input, &mut problems);
    let body = body(&attributes, input, &mut problems);
    let implementation = implementation(input, &body);
    match problems.into_compile_error() {
        // The impl stays, so that uses of the type add no errors of their own.
        Some(errors) if is_generic(input) || is_union(input) => errors,
        Some(errors) => quote!(#errors #implementation),
        None => implementation,
    }
}

fn implementation(input: &DeriveInput, body: &TokenStream) -> TokenStream {
    let ident = &input.ident;
    quote! {
        #[automatically_derived]
        impl ::tidings::Event for #ident {
            #body
        }
    }
}

fn body(attributes: &Attributes, input: &DeriveInput, problems: &mut Problems) -> TokenStream {
    let name =
        attributes.name.as_ref().map_or_else(|| quote!("unnamed"), ToTokens::to_token_stream);
    let version = attributes.version.unwrap_or(1);
    let key =
        attributes.key.as_ref().and_then(|source| problems.ok(key::expression(source, input))).map(
            |expression| {
                quote! {
                    fn key(&self) -> ::core::option::Option<::tidings::Key> {
                        #expression
                    }
                }
            },
        );
    let codec = attributes.codec.as_ref().map(|path| {
        let value = quote_spanned!(path.span()=> &#path);
        quote! {
            fn codec() -> &'static dyn ::tidings::codec::Codec<Self> {
                #value
            }
        }
    });
    let durability = attributes.durability.as_ref().map(|level| {
        quote! {
            const DURABILITY: ::core::option::Option<::tidings::Durability> =
                ::core::option::Option::Some(::tidings::Durability::#level);
        }
    });
    let compacted =
        attributes.compacted.as_ref().map(|truth| quote!(const COMPACTED: bool = #truth;));
    quote! {
        const NAME: &'static str = #name;
        const VERSION: u32 = #version;
        #durability
        #compacted
        #key
        #codec
    }
}

fn is_generic(input: &DeriveInput) -> bool {
    !input.generics.params.is_empty()
}

fn is_union(input: &DeriveInput) -> bool {
    matches!(input.data, Data::Union(_))
}

fn refuse_unsuitable_types(input: &DeriveInput, problems: &mut Problems) {
    if is_generic(input) {
        problems.add(Error::new_spanned(
            &input.generics,
            "an event has one name, so it cannot be generic; derive it on a concrete struct",
        ));
    }
    if let Data::Union(data) = &input.data {
        problems.add(Error::new(
            data.union_token.span(),
            "a union cannot be an event; use a struct or an enum",
        ));
    }
}

/// `#[event(..)]` on a field or variant would otherwise be ignored without a word.
fn refuse_misplaced_attributes(input: &DeriveInput, problems: &mut Problems) {
    for attribute in inner_attributes(&input.data) {
        if attributes::is_event(attribute) {
            problems.add(Error::new(
                attribute.path().span(),
                "`#[event(..)]` belongs on the type, under the derive; \
                 a key field is named there: `key = \"order_id\"`",
            ));
        }
    }
}

fn inner_attributes(data: &Data) -> Vec<&Attribute> {
    match data {
        Data::Struct(data) => attributes_of(&data.fields),
        Data::Union(data) => attributes_of(&data.fields.named),
        Data::Enum(data) => {
            let variants = data.variants.iter();
            variants
                .flat_map(|variant| variant.attrs.iter().chain(attributes_of(&variant.fields)))
                .collect()
        }
    }
}

fn attributes_of<'a>(fields: impl IntoIterator<Item = &'a Field>) -> Vec<&'a Attribute> {
    fields.into_iter().flat_map(|field| &field.attrs).collect()
}
