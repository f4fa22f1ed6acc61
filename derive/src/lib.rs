//! `#[derive(Event)]` for tidings.
use proc_macro::TokenStream;
/// Placeholder until the next commit.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(_input: TokenStream) -> TokenStream {
    TokenStream::new()
}
