//! The body of `fn key`: from a field, or from a function.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::{
    Data, DeriveInput, Error, Field, Fields, Ident, Index, LitStr, Member, Path, Result,
    ext::IdentExt, spanned::Spanned,
};

use crate::{attributes::KeySource, suggest};

pub(crate) fn expression(source: &KeySource, input: &DeriveInput) -> Result<TokenStream> {
    match source {
        KeySource::Field(name) => from_field(name, input),
        KeySource::Function(path) => Ok(from_function(path)),
    }
}

fn from_field(name: &LitStr, input: &DeriveInput) -> Result<TokenStream> {
    let fields = match &input.data {
        Data::Struct(data) => &data.fields,
        Data::Enum(_) => return Err(key_of_enum(name, &input.ident)),
        Data::Union(_) => return Ok(TokenStream::new()), // refused elsewhere
    };
    let written = name.value();
    let found =
        fields.iter().enumerate().find(|(at, field)| field_name(*at, field) == plain(&written));
    let Some((at, field)) = found else {
        return Err(unknown_field(name, fields, &input.ident));
    };
    // An unsuitable type is reported at the field's type, and the call at the attribute.
    let at_type = here(field.ty.span());
    let member = match &field.ident {
        Some(ident) => Member::Named(Ident::clone(ident)),
        None => Member::Unnamed(Index::from(at)),
    };
    let member = relocate(member, field.ty.span());
    let value = quote_spanned!(at_type=> &self.#member);
    Ok(quote_spanned!(here(name.span())=> ::tidings::ToKey::to_key(#value)))
}

fn from_function(path: &Path) -> TokenStream {
    let span = here(path.span());
    // Not `self`: the compiler would propose a method for every function that it cannot find.
    let event = Ident::new("event", Span::mixed_site().located_at(span));
    quote_spanned! {span=>
        let #event = self;
        ::tidings::ToKey::to_key(&#path(#event))
    }
}

/// The place of `span` with the hygiene of the derive, so that `self` resolves inside macros too.
fn here(span: Span) -> Span {
    Span::call_site().located_at(span)
}

fn relocate(mut member: Member, span: Span) -> Member {
    match &mut member {
        Member::Named(ident) => ident.set_span(ident.span().located_at(span)),
        Member::Unnamed(index) => index.span = here(span),
    }
    member
}

fn field_name(at: usize, field: &Field) -> String {
    match &field.ident {
        Some(ident) => ident.unraw().to_string(),
        None => at.to_string(),
    }
}

fn plain(written: &str) -> &str {
    written.strip_prefix("r#").unwrap_or(written)
}

fn key_of_enum(name: &LitStr, ident: &Ident) -> Error {
    let problem = format!(
        "an enum has no fields of its own, so `key` cannot name one; \
         write `key_with = \"function\"`, with `fn function(event: &{ident}) -> impl ToKey`"
    );
    Error::new(name.span(), problem)
}

fn unknown_field(name: &LitStr, fields: &Fields, ident: &Ident) -> Error {
    let written = name.value();
    let names: Vec<_> =
        fields.iter().enumerate().map(|(at, field)| field_name(at, field)).collect();
    let names = || names.iter().map(String::as_str);
    let problem = if fields.is_empty() {
        format!("`{ident}` has no fields, so it cannot have a `key`; leave it out")
    } else if written.contains(['.', '(', ':']) {
        format!(
            "`key` names one field ({}); for anything else \
             write `key_with = \"function\"`, with `fn function(event: &{ident}) -> impl ToKey`",
            suggest::list(names())
        )
    } else {
        let meant = suggest::did_you_mean(&written, names());
        let known = suggest::list(names());
        format!("`{ident}` has no field `{written}`{meant}\nits fields: {known}")
    };
    Error::new(name.span(), problem)
}
