//! However the queue cuts, repeats and orders its messages, the ledger holds the same rows.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use crate::messages::{Failed, batch, message};
use crate::world::{World, expected, play};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_batches_of_the_same_messages_make_the_same_rows(
        // Some numbers twice: two events of one failure, or of one version at different times.
        numbers in vec((0..40_usize, 0..3_i64), 1..40),
        order in vec((any::<Index>(), any::<bool>()), 0..80),
        cuts in vec(any::<Index>(), 0..6),
        lost in vec(any::<bool>(), 8),
    ) {
        let failures: Vec<Failed> = numbers
            .into_iter()
            .map(|(number, later)| {
                let failed = Failed::number(number);
                Failed { at: failed.at + later, ..failed }
            })
            .collect();
        // Every message at least once, some several times, in any order.
        let mut delivered: Vec<usize> = (0..failures.len()).collect();
        for (index, back) in order {
            let place = index.index(delivered.len());
            let number = delivered[place];
            if back {
                delivered.push(number);
            } else {
                delivered.insert(0, number);
            }
        }
        let mut ends: BTreeSet<usize> =
            cuts.iter().map(|cut| cut.index(delivered.len())).collect();
        ends.insert(delivered.len());
        let rows = play(async {
            let world = World::new();
            let mut start = 0;
            for (end, twice) in ends.into_iter().zip(lost.into_iter().cycle()) {
                let messages: Vec<Value> = delivered[start..end]
                    .iter()
                    .map(|number| message(&format!("m{number}"), failures[*number].body()))
                    .collect();
                start = end;
                world.answer(batch(&messages)).await;
                if twice {
                    // The answer was lost, and the queue delivers the batch again.
                    world.answer(batch(&messages)).await;
                }
            }
            world.rows()
        });
        prop_assert_eq!(rows, expected(&failures));
    }
}
