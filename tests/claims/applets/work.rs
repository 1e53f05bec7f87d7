// SPDX-License-Identifier: Apache-2.0
// Some of all that Rust programs do, for system 3's claims: collections,
// closures, traits, wide numbers, floating point, text, standard input.
use std::collections::BTreeMap;
use std::io::Read;

trait Shape {
    fn area(&self) -> f64;
}
struct Circle(f64);
struct Square(f64);
impl Shape for Circle {
    fn area(&self) -> f64 {
        std::f64::consts::PI * self.0 * self.0
    }
}
impl Shape for Square {
    fn area(&self) -> f64 {
        self.0 * self.0
    }
}

fn factorial(n: u128) -> Option<u128> {
    (1..=n).try_fold(1u128, |product, i| product.checked_mul(i))
}

fn main() {
    let shapes: Vec<Box<dyn Shape>> = (1..200)
        .map(|i| -> Box<dyn Shape> {
            if i % 3 == 0 {
                Box::new(Circle(i as f64 / 7.0))
            } else {
                Box::new(Square(i as f64 / 11.0))
            }
        })
        .collect();
    println!("area {:.9}", shapes.iter().map(|s| s.area()).sum::<f64>());
    println!("{:?} {:?}", factorial(34), factorial(35));
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    for word in text.split_whitespace() {
        *words.entry(word.to_lowercase()).or_default() += 1;
    }
    println!("{:?}", words);
    println!("{:?}", std::env::args().skip(1).collect::<Vec<_>>());
    std::process::exit(if words.is_empty() { 1 } else { 42 });
}
