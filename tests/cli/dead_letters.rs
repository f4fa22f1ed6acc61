//! `dead-letters`: looked at beside a live bus, decided about without one.

use std::sync::Arc;

use crate::{
    run::run,
    shop::{SOON, Shop, bill, close, place},
};

#[test]
fn they_are_listed_and_shown_beside_a_live_bus() {
    let shop = Shop::new();
    let bus = shop.open();
    let _billing = bill(&bus, &Arc::default());
    place(&bus, 1..=15);
    assert!(bus.wait_idle(SOON));
    let list = run(&["dead-letters", "list", "--json"], &shop.dir, &["billing"]).ends_with(0);
    let list = list.objects();
    assert_eq!(list.iter().map(|letter| letter["position"].clone()).collect::<Vec<_>>(), [3, 13]);
    assert_eq!(list[0]["reason"], "rejected");
    assert_eq!(list[0]["error"], "no card \u{1b}[31m for it");
    assert_eq!(list[0]["payload"]["order"], 3);
    run(&["dead-letters", "list"], &shop.dir, &["billing"]).says("\\u{1b}[31m").says("rejected");
    let shown = run(&["dead-letters", "show"], &shop.dir, &["billing", "13"]).ends_with(0);
    shown.says("key=13").says("tenant: acme").says("attempts 1");
    run(&["dead-letters", "show"], &shop.dir, &["billing", "4"])
        .ends_with(4)
        .says("no dead letter");
    run(&["dead-letters", "list"], &shop.dir, &["nobody"]).ends_with(4).says("nobody");
    let some = |filter: &[&str]| {
        let more = [&["billing"], filter].concat();
        let listed = run(&["dead-letters", "list", "--json"], &shop.dir, &more).ends_with(0);
        listed.objects().iter().map(|letter| letter["position"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(some(&["--key", "13", "--error", "no card"]), [13]);
    assert_eq!(some(&["--reason", "rejected", "-n", "1"]), [3]);
    assert!(some(&["--reason", "no-handler"]).is_empty());
    assert!(some(&["--until", "2020-01-01"]).is_empty());
    run(&["dead-letters", "list"], &shop.dir, &["billing", "--reason", "bored"]).ends_with(4);
    let groups = run(&["dead-letters", "groups", "--json"], &shop.dir, &["billing"]).objects();
    assert_eq!((groups.len(), &groups[0]["count"]), (1, &2.into()));
    run(&["dead-letters", "groups"], &shop.dir, &["billing"]).ends_with(0).says("rejected");

    // Two owners there cannot be.
    for command in ["retry", "discard"] {
        let refused = run(&["dead-letters", command], &shop.dir, &["billing", "3"]).ends_with(4);
        refused.says(&format!("in use by process {}", std::process::id()));
    }
    close(&bus);
}

#[test]
fn a_retry_takes_effect_when_the_subscription_starts() {
    let shop = Shop::with(25);
    let retried = run(&["dead-letters", "retry"], &shop.dir, &["billing", "13"]).ends_with(0);
    retried.says("13 to be handled again");
    run(&["dead-letters", "list"], &shop.dir, &["billing"]).says("to be tried again");
    let why = ["billing", "3", "--reason", "refunded by hand"];
    run(&["dead-letters", "discard", "--json"], &shop.dir, &why).ends_with(0);
    run(&["dead-letters", "discard"], &shop.dir, &["billing", "3"]).ends_with(4);
    run(&["dead-letters", "retry"], &shop.dir, &["nobody", "3"]).ends_with(4);

    let bus = shop.open();
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let list = Arc::clone(&seen);
    bus.subscribe("billing")
        .lanes(2)
        .on(move |placed: &crate::shop::Placed| list.lock().push(placed.order))
        .start()
        .unwrap();
    close(&bus);
    assert_eq!(*seen.lock(), [13], "this one, and no other");
    let left = run(&["dead-letters", "list", "--json"], &shop.dir, &["billing"]).objects();
    assert_eq!((left.len(), &left[0]["position"]), (1, &23.into()));
    run(&["dead-letters", "retry"], &shop.dir, &["billing"]).ends_with(0).says("23 to be");
    run(&["verify"], &shop.dir, &[]).ends_with(0);
}
