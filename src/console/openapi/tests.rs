//! The description against the routers and what they write.

use std::collections::BTreeSet;

use super::*;
use crate::console::routes;
use crate::ingest::http;

/// Method and path of everything that is described.
fn described() -> BTreeSet<(String, String)> {
    let document = document("127.0.0.1:9090", "127.0.0.1:8080");
    let mut found = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let methods = methods.as_object().unwrap().keys().filter(|key| *key != "servers");
        found.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
    }
    found
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let mut routed = BTreeSet::new();
    for (path, methods) in http::paths() {
        routed.extend(methods.iter().map(|method| (method.to_string(), path.to_owned())));
    }
    for (path, methods) in routes() {
        // A method router does not tell its methods; its `Allow` does, and so does how it is printed.
        let printed = format!("{methods:?}");
        let takes =
            |name: &str| printed.contains(&format!("{name}: Boxed")) || printed.contains(&format!("{name}: Route"));
        for method in ["GET", "POST"].into_iter().filter(|method| takes(&method.to_lowercase())) {
            routed.insert((method.to_owned(), path.to_owned()));
        }
    }
    assert_eq!(described(), routed);
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document("127.0.0.1:9090", "127.0.0.1:8080");
    let text = document.to_string();
    let mut references = text.match_indices("\"$ref\":\"#").map(|(at, found)| {
        let rest = &text[at + found.len()..];
        rest.split_once('"').unwrap().0
    });
    assert!(references.clone().count() > 10);
    assert_eq!(references.find(|reference| document.pointer(reference).is_none()), None);
}
