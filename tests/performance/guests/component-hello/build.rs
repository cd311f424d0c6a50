//! Links the C library, which has `memcpy` and the like: without `std` nothing else asks for it.

fn main() {
    println!("cargo::rustc-link-arg-cdylib=-lc");
}
