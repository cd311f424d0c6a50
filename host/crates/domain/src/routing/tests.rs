//! The documented rules, case by case, and against the rule written the slow way.

use proptest::prelude::*;

use super::route::Segment;
use super::*;

fn table(routes: &[&str]) -> RouteTable<String> {
    let mut table = RouteTable::default();
    for route in routes {
        table
            .insert(route.parse().unwrap(), (*route).to_owned())
            .unwrap();
    }
    table
}

#[track_caller]
fn check(table: &RouteTable<String>, request: &str, expected: &str) {
    let (method, path) = request.split_once(' ').unwrap();
    let path = RequestPath::parse(path).unwrap();
    let found = match table.find(RouteMethod::parse(method), &path) {
        Match::Found {
            route,
            target,
            values,
        } => {
            let pairs = route.variables().zip(values);
            let parameters: Vec<String> = pairs
                .map(|(name, value)| format!(" {name}={value}"))
                .collect();
            format!("{target}{}", parameters.concat())
        }
        Match::WrongMethod { allowed } => format!("405 {allowed:?}"),
        Match::NotFound => "404".to_owned(),
    };
    assert_eq!(found, expected, "{request}");
}

#[test]
fn the_most_specific_route_wins() {
    let table = table(&[
        "ANY /{proxy+}",
        "GET /pets/{proxy+}",
        "GET /pets/dog/{id}",
        "GET /pets/dog/1",
        "ANY /pets/dog/1",
        "POST /pets/{kind}/{id}",
    ]);
    check(&table, "GET /pets/dog/1", "GET /pets/dog/1");
    check(&table, "PUT /pets/dog/1", "ANY /pets/dog/1");
    check(&table, "GET /pets/dog/2", "GET /pets/dog/{id} id=2");
    check(&table, "GET /pets/cat/2", "GET /pets/{proxy+} proxy=cat/2");
    check(
        &table,
        "POST /pets/cat/2",
        "POST /pets/{kind}/{id} kind=cat id=2",
    );
    check(&table, "GET /", "ANY /{proxy+} proxy=");
    check(&table, "PROPFIND /x", "ANY /{proxy+} proxy=x");
}

#[test]
fn a_trailing_slash_is_significant_and_head_is_not_get() {
    let table = table(&["GET /a", "GET /b", "ANY /b/{proxy+}"]);
    check(&table, "GET /a/", "404");
    check(&table, "GET /A", "404");
    check(&table, "GET //a", "404");
    check(&table, "HEAD /a", "405 [Get]");
    check(&table, "GET /b/", "ANY /b/{proxy+} proxy=");
    check(&table, "GET /b/c/", "ANY /b/{proxy+} proxy=c");
}

#[test]
fn segments_are_decoded_once_and_after_the_split() {
    let table = table(&["GET /f/{x}"]);
    check(&table, "GET /f/a%20b", "GET /f/{x} x=a b");
    check(&table, "GET /%66/%252e", "GET /f/{x} x=%2e");
    for (raw, error) in [
        ("/f/%2e%2e/admin", PathError::Dots),
        ("/f/./x", PathError::Dots),
        ("/f/..%2fadmin", PathError::Ambiguous),
        ("/f%00", PathError::Ambiguous),
        ("/f/%5cx", PathError::Ambiguous),
        ("/f/%c0%ae", PathError::Utf8),
        ("/f/%zz", PathError::Percent),
        ("/f/%2", PathError::Percent),
        ("*", PathError::NoSlash),
    ] {
        assert_eq!(RequestPath::parse(raw), Err(error), "{raw}");
    }
}

#[test]
fn one_route_has_one_owner_whatever_its_variables_are_called() {
    let mut table = table(&["GET /o/{id}"]);
    let again = table.insert("GET /o/{name}".parse().unwrap(), "other".to_owned());
    assert_eq!(again.unwrap_err(), "GET /o/{id}");
    table
        .insert("POST /o/{name}".parse().unwrap(), "other".to_owned())
        .unwrap();
}

#[test]
fn a_removed_route_is_gone_and_the_others_stay() {
    let mut table = table(&["ANY /a", "ANY /a/{proxy+}", "GET /a/{x}"]);
    let any: Route = "ANY /a/{proxy+}".parse().unwrap();
    assert_eq!(
        table.owner(&any).map(String::as_str),
        Some("ANY /a/{proxy+}")
    );
    assert_eq!(table.remove(&any).as_deref(), Some("ANY /a/{proxy+}"));
    assert_eq!((table.remove(&any), table.owner(&any)), (None, None));
    check(&table, "GET /a/b/c", "404");
    check(&table, "GET /a/b", "GET /a/{x} x=b");
    check(&table, "GET /a", "ANY /a");
}

#[test]
fn a_bad_route_names_its_part() {
    for (route, expected) in [
        (
            "FETCH /a",
            "`FETCH` is not a method; use ANY, GET, POST, PUT, PATCH, DELETE, HEAD or OPTIONS",
        ),
        ("GET a", "path `a` must start with `/`"),
        (
            "GET /a/{x+}/b",
            "`{x+}` must be the last segment of path `/a/{x+}/b`",
        ),
        ("GET /{x}/{x}", "path `/{x}/{x}` has the variable `x` twice"),
        (
            "GET /a/..",
            "path `/a/..` has a segment `.` or `..`, which no request can match",
        ),
        (
            "GET /a b",
            "segment `a b` of path `/a b` is neither letters, digits and `._~:-` nor `{name}` nor `{name+}`",
        ),
    ] {
        assert_eq!(route.parse::<Route>().unwrap_err().to_string(), expected);
    }
}

/// The rule written the slow way: try every route, keep the best score.
fn slow(routes: &[Route], path: &RequestPath) -> Option<usize> {
    let score = |route: &Route| {
        let mut literals = 0;
        for (at, segment) in route.segments.iter().enumerate() {
            match (segment, path.segments.get(at)) {
                (Segment::Greedy(_), Some(_)) => return Some((literals, at, false)),
                (Segment::Variable(_), Some(text)) if !text.is_empty() => {}
                (Segment::Literal(literal), Some(text)) if literal == text => literals += 1,
                _ => return None,
            }
        }
        (route.segments.len() == path.segments.len()).then_some((
            literals,
            path.segments.len(),
            true,
        ))
    };
    let best = routes.iter().filter_map(score).max()?;
    routes.iter().position(|route| score(route) == Some(best))
}

proptest! {
    #[test]
    fn the_table_agrees_with_the_rule_written_the_slow_way(
        patterns in prop::collection::btree_set("(/(a|b|\\{x\\}|\\{y\\})){1,3}(/\\{p\\+\\})?", 1..8),
        path in "(/(a|b|c)?){1,4}",
    ) {
        let mut table = RouteTable::default();
        let mut routes = Vec::new();
        for pattern in &patterns {
            let Ok(route) = Route::new(RouteMethod::Any, pattern) else { continue };
            if table.insert(route.clone(), routes.len()).is_ok() {
                routes.push(route);
            }
        }
        let path = RequestPath::parse(&path).unwrap();
        let found = match table.find(None, &path) {
            Match::Found { target, .. } => Some(*target),
            _ => None,
        };
        // Two variables in different places can tie; then either is right.
        let expected = slow(&routes, &path);
        prop_assert_eq!(found.is_some(), expected.is_some());
        if let (Some(found), Some(expected)) = (found, expected) {
            let literals = |at: usize| {
                routes[at].segments.iter().filter(|s| matches!(s, Segment::Literal(_))).count()
            };
            prop_assert_eq!(literals(found), literals(expected));
        }
    }

    #[test]
    fn no_path_makes_the_parser_panic(raw in ".*") {
        if let Ok(path) = RequestPath::parse(&raw) {
            prop_assert!(path.decoded().starts_with('/'));
        }
    }
}
