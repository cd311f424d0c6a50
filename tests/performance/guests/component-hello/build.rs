//! Links the C library, which has `malloc`, `memcpy` and the like: without the standard library nothing
//! else asks for it.

fn main() {
    println!("cargo::rustc-link-arg-cdylib=-lc");
}
