//! The conformance suite that every backend passes.
//!
//! Each check is one statement about SQS FIFO queues that HOTH relies on,
//! tested through the contract alone. A backend provides a [`Fixture`], and runs
//! every check with [`full_conformance_suite!`](crate::full_conformance_suite):
//!
//! ```text
//! struct MyFixture { .. }
//! impl hoth_queue::conformance::Fixture for MyFixture { .. }
//! // In a test module; the crate needs `tokio` with `macros` and `rt`.
//! hoth_queue::full_conformance_suite!(MyFixture::new());
//! ```
//!
//! The marks name the statements: **G** groups and order, **V** leases and
//! receipts (SQS: visibility and handles), **D** deduplication, **B** batches,
//! **P** waiting, **S** sizes, **R** dead letters, **H** counts. The checks of
//! taking apply to backends that can look into their queues. Some statements
//! about SQS have no check, because the contract has no such act or the host
//! never sees the effect: sequence numbers, standard queues (V5), content-based
//! deduplication (D4, D5, D7, D8), purging (D10, H2), attempt ids (A1), SQS's
//! own redrive (R8) and the texts of SQS's errors. Promises of one backend are
//! tested beside it: leases over a restart (V14), memory over a restart (D12),
//! no starvation behind a blocked group (G13).

mod dead_letters;
mod fixture;
mod groups;
mod leases;
mod sending;
mod taking;
mod waiting;

pub use self::fixture::Fixture;
pub use self::fixture::message;
pub use self::fixture::names;
pub use self::fixture::outcomes;
pub use self::fixture::receive;
pub use self::fixture::requests;

// Every check by its name, for the macros below.
pub use self::dead_letters::*;
pub use self::groups::*;
pub use self::leases::*;
pub use self::sending::*;
pub use self::taking::*;
pub use self::waiting::*;

/// Makes a test of each named check, on a fresh fixture.
#[macro_export]
macro_rules! conformance_checks {
    ($fixture:expr; $($check:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $check() {
                $crate::conformance::$check(&$fixture).await;
            }
        )+
    };
}

/// Makes a test of every check.
#[macro_export]
macro_rules! full_conformance_suite {
    ($fixture:expr) => {
        $crate::common_conformance_suite! { $fixture }
        $crate::conformance_checks! { $fixture;
            a_released_message_waits_for_held_messages_before_it,
            an_ended_lease_is_not_extended,
            an_ended_lease_gives_nothing_back,
            an_ended_lease_does_not_affect_the_next_holder,
        }
    };
}

/// Makes a test of every check that holds on the servers that stand in for SQS
/// in tests. A backend that is tested with one of them states each gap in a
/// test of its own.
#[macro_export]
macro_rules! common_conformance_suite {
    ($fixture:expr) => {
        $crate::conformance_checks! { $fixture;
            a_batch_is_filled_from_one_group_first,
            a_group_offers_its_messages_up_to_the_first_in_flight,
            leases_of_a_batch_change_one_by_one,
            an_expired_message_behind_a_held_message_stays_hidden,
            a_blocked_group_blocks_only_itself,
            a_delete_that_frees_a_group_wakes_a_waiting_receive,
            a_send_wakes_a_waiting_receive,
            expired_messages_come_back_in_order,
            dropped_deliveries_come_back_in_order,
            every_started_receive_counts,
            a_message_that_is_held_back_costs_no_delivery,
            a_message_that_is_given_back_for_later_is_hidden_until_then,
            an_ended_lease_deletes_nothing,
            an_extended_lease_holds,
            deleting_twice_is_harmless,
            an_invalid_receipt_is_refused,
            repetitions_are_recognised,
            equal_bodies_under_two_keys_are_two_messages,
            keys_are_forgotten_after_the_window,
            messages_have_bounds,
            receives_have_bounds,
            a_receive_from_an_empty_queue_waits_and_returns_nothing,
            a_dropped_receive_leaves_no_lease,
            a_message_that_is_never_settled_becomes_a_dead_letter,
            settling_replaces_a_message,
            dead_lettering_sends_the_report,
            dead_letters_are_kept_until_redriven_or_discarded,
            counts_add_up,
            a_sent_message_is_located,
            a_message_is_taken_from_the_middle_of_its_group,
            a_taken_head_blocks_its_group_until_it_is_settled,
            a_message_that_was_taken_before_it_is_due_can_be_made_due,
            a_message_in_hand_is_not_taken,
            a_message_that_is_gone_is_not_taken,
            a_taken_message_that_is_dropped_is_available_again,
        }
    };
}
