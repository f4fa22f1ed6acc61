//! Proving that handlers are idempotent.

use tidings::{
    Bus,
    testing::{Interruption, prove_idempotent, try_prove_idempotent},
};

use crate::shop::{Charging, Placed, place_three};

#[test]
fn a_careful_shop_is_proved() {
    let proof = prove_idempotent(|sim| place_three(Charging::WithKey, sim));
    let handlers: Vec<_> = proof.handlers.iter().collect();
    let billing = ("billing".to_owned(), "orders.placed".to_owned());
    let shipping = ("shipping".to_owned(), "orders.paid".to_owned());
    assert_eq!(handlers, [(&billing, &3), (&shipping, &3)]);
    assert_eq!(proof.runs, 1 + 2 * 6);
}

#[test]
fn a_careless_one_is_named_with_the_difference() {
    let found = try_prove_idempotent(|sim| place_three(Charging::Carelessly, sim)).unwrap_err();
    let [culprit] = &found.culprits[..] else { panic!("{found}") };
    assert_eq!((&*culprit.subscription, &*culprit.event), ("billing", "orders.placed"));
    assert_eq!(culprit.interruption, Interruption::LostAcknowledgement);
    let [difference] = &culprit.differences[..] else { panic!("{found}") };
    assert!(difference.starts_with("effects: + charge "), "{difference}");
    let text = found.to_string();
    assert!(
        text.contains("the handler of `orders.placed` in `billing` is not idempotent"),
        "{text}"
    );
}

#[test]
fn views_of_the_users_own_are_compared() {
    let found = try_prove_idempotent(|sim| {
        let table = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
        let rows = table.clone();
        sim.process(move |bus| -> Result<Bus, tidings::Error> {
            let (bus, table) = (bus.build()?, table.clone());
            bus.subscribe("rows")
                .on(move |placed: &Placed| table.lock().push(placed.order))
                .start()?;
            Ok(bus)
        });
        sim.view("table", move || {
            let lines: Vec<_> = rows.lock().iter().map(|row| format!("row {row}")).collect();
            lines.join("\n")
        });
        sim.publish(Placed { order: 4711 });
        sim.settle();
    });
    assert_eq!(found.unwrap_err().culprits[0].differences, ["table: + row 4711"]);
}

#[test]
#[should_panic(expected = "the flow fails though nothing goes wrong: no luck")]
fn a_flow_that_fails_anyway_proves_nothing() {
    drop(try_prove_idempotent(|_| panic!("no luck")));
}
