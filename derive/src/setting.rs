//! One `option = value` of `#[event(..)]`, before it has a meaning.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::{
    Error, Ident, Lit, LitBool, LitInt, LitStr, Path, Result, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream},
};

pub(crate) struct Setting {
    pub(crate) option: Ident,
    /// Everything between the `=` and the next comma; empty when there is no `=`.
    value: TokenStream,
}

impl Parse for Setting {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if let Ok(text) = input.fork().parse::<LitStr>() {
            let text = text.value();
            return Err(input.error(format!("expected an option, such as `name = {text:?}`")));
        }
        let option = input.call(Ident::parse_any)?;
        let assigned = input.parse::<Option<Token![=]>>()?.is_some();
        let mut value = TokenStream::new();
        while !input.is_empty() && !input.peek(Token![,]) {
            value.extend([input.parse::<TokenTree>()?]);
        }
        if !assigned {
            value = TokenStream::new();
        }
        Ok(Self { option, value })
    }
}

impl Setting {
    /// The value as text in quotes. `example` is shown to whoever wrote something else.
    pub(crate) fn text(&self, example: &str) -> Result<LitStr> {
        match self.literal() {
            Some(Lit::Str(text)) => Ok(text),
            _ => Err(self.expected("text in quotes", &format!("{:?}", self.guess(example)))),
        }
    }

    /// The value as a path in quotes.
    pub(crate) fn path(&self, example: &str) -> Result<Path> {
        let text = self.text(example)?;
        text.parse().map_err(|_| {
            let (option, written) = (&self.option, text.value());
            let problem = format!(
                "`{option}` takes a path, such as `{option} = {example:?}`; {written:?} is not one"
            );
            Error::new(text.span(), problem)
        })
    }

    /// The value as a whole number.
    pub(crate) fn number(&self, example: &str) -> Result<LitInt> {
        match self.literal() {
            Some(Lit::Int(number)) => Ok(number),
            Some(Lit::Str(text)) if text.value().parse::<u32>().is_ok() => {
                Err(self.expected("a number without quotes", &text.value()))
            }
            _ => Err(self.expected("a whole number", example)),
        }
    }

    /// The value as `true` or `false`.
    pub(crate) fn truth(&self) -> Result<LitBool> {
        match self.literal() {
            Some(Lit::Bool(truth)) => Ok(truth),
            _ => Err(self.expected("`true` or `false`", "true")),
        }
    }

    fn literal(&self) -> Option<Lit> {
        syn::parse2(self.value.clone()).ok()
    }

    fn expected(&self, what: &str, example: &str) -> Error {
        let option = &self.option;
        let problem = format!("`{option}` takes {what}: `{option} = {example}`");
        Error::new(self.value_span(), problem)
    }

    /// What was meant by a value that only lacks its quotes, or else the example.
    fn guess(&self, example: &str) -> String {
        let written: String = self.value.to_string().split_whitespace().collect();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
        let starts_well = written.starts_with(|c: char| c.is_ascii_alphabetic());
        if !starts_well || !written.chars().all(plain) {
            return example.to_owned();
        }
        written
    }

    fn value_span(&self) -> Span {
        let mut tokens = self.value.clone().into_iter();
        tokens.next().map_or_else(|| self.option.span(), |token| token.span())
    }
}
