//! What the compiler says about functions that cannot be handlers.
//!
//! Each file in `ui/` is wrong in one way, and the `.stderr` beside it holds the one error that its
//! author must see. `TRYBUILD=overwrite cargo test -p mayfly-sdk --test ui` writes them anew.

#[test]
fn wrong_uses_get_one_clear_error() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
