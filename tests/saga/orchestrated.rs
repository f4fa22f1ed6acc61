//! The example `saga_orchestrated`, as far as the docs show it.

#[allow(dead_code)]
#[path = "../../examples/saga_orchestrated.rs"]
mod example;

use example::Fulfilment;
use tidings::saga::Saga;

#[test]
fn its_picture_in_the_docs_is_what_it_is() {
    let drawn = Fulfilment::graph().to_mermaid();
    let docs = include_str!("../../docs/patterns.md");
    assert!(docs.contains(&format!("```mermaid\n{drawn}```")), "{drawn}");
}
