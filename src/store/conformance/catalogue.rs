//! The suite for the catalogue: pages of publications, search, and what they are filed under. It begins where that for publications ends.

use super::example;
use crate::domain::history::Day;
use crate::domain::publication::{PublicationId, Words};
use crate::domain::tally::Counts;
use crate::store::publications::{
    Facet, FacetKind, Filters, MAX_COUNTED, Order, Page, PageQuery, PublicationStore, Total,
};

/// Runs the suite.
pub(super) async fn check(store: &dyn PublicationStore) {
    shows_pages_newest_first(store).await;
    lists_the_oldest_first(store).await;
    finds_words_wherever_they_stand(store).await;
    finds_what_is_said_now(store).await;
    pages_of_a_search_go_on_where_the_last_ended(store).await;
    shows_what_is_filed_in_every_order(store).await;
    files_only_under_what_is_said_now(store).await;
}

async fn shows_pages_newest_first(store: &dyn PublicationStore) {
    // In the order in which they came, whatever the clock said.
    for (id, published_at) in [
        ("caaaaaaaaa", 3_000),
        ("daaaaaaaaa", 2_000),
        ("eaaaaaaaaa", 2_000),
    ] {
        let (publication, metainfo) = example(id, published_at);
        store.insert(&publication, &metainfo).await.unwrap();
    }
    let mut query = PageQuery {
        limit: 2,
        ..PageQuery::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = store.page(&query).await.unwrap();
        assert_eq!(page.total, Total::Exactly(6));
        for summary in &page.publications {
            assert_eq!(summary.file_count, 2);
            assert!(summary.publication.files.is_empty());
            seen.push(summary.publication.id.to_string());
        }
        let Some(next) = page.next else { break };
        assert_eq!(page.publications.len(), 2);
        query.after = Some(next);
    }
    assert_eq!(
        seen,
        [
            "eaaaaaaaaa",
            "daaaaaaaaa",
            "caaaaaaaaa",
            "vvvvvvvvvv",
            "hhhhhhhhhh",
            "aaaaaaaaaa"
        ]
    );
    // A limit out of bounds is moved to the nearer end.
    query.after = None;
    for (limit, expected) in [(0, 1), (u32::MAX, 6)] {
        query.limit = limit;
        let page = store.page(&query).await.unwrap();
        assert_eq!(page.publications.len(), expected);
    }
}

async fn lists_the_oldest_first(store: &dyn PublicationStore) {
    let listed = async |skip, limit| {
        let rows = store.oldest_first(skip, limit).await.unwrap();
        let rows = rows.into_iter();
        rows.map(|(id, at)| (id.to_string(), at))
            .collect::<Vec<_>>()
    };
    let all = listed(0, 100).await;
    let query = PageQuery {
        order: Order::Oldest,
        limit: 100,
        ..PageQuery::default()
    };
    let page = store.page(&query).await.unwrap().publications;
    let expected = page.iter().map(|it| &it.publication);
    let expected: Vec<_> = expected
        .map(|it| (it.id.to_string(), it.published_at))
        .collect();
    assert_eq!(all, expected);
    assert_eq!(all.len(), 6);
    assert_eq!(listed(1, 1).await, all[1..2]);
    assert_eq!(listed(5, 9).await, all[5..]);
    assert_eq!(listed(u64::MAX, 9).await, []);
}

/// The ids of what a search finds, newest first.
pub(super) async fn found(store: &dyn PublicationStore, text: &str) -> Vec<String> {
    let query = PageQuery {
        text: text.to_owned(),
        limit: 100,
        ..PageQuery::default()
    };
    let page = store.page(&query).await.unwrap();
    let excerpt: String = text.chars().take(40).collect();
    let count = page.publications.len() as u64;
    assert_eq!(page.total, Total::Exactly(count), "{excerpt:?}");
    let found = page.publications.iter();
    found.map(|it| it.publication.id.to_string()).collect()
}

async fn finds_words_wherever_they_stand(store: &dyn PublicationStore) {
    let (mut debian, metainfo) = example("paaaaaaaaa", 10);
    debian.title = "100%_sure \\o/".to_owned();
    debian.name = "debian-13.iso".to_owned();
    debian.description = "An installer for the Øresund, façade and naïve".to_owned();
    store.insert(&debian, &metainfo).await.unwrap();
    for (text, expected) in [
        ("debian", 1),
        ("deb", 1),
        ("ebian", 0),
        ("DEBIAN installer", 1),
        ("  installer   sure ", 1),
        ("debian folder", 0),
        ("debian-13.iso", 1),
        ("13.i", 1),
        ("iso debian", 1),
        ("\"installer for the\"", 1),
        ("\"for installer the\"", 0),
        ("\"installer fo\"", 0),
        ("“installer for”", 1),
        ("facade NAIVE", 1),
        ("fac\u{327}ade", 1),
        ("tres", 6),
        ("très", 6),
        ("title of", 6),
        ("日本語", 7),
        ("\"quoted name\"", 7),
        ("sub", 7),
        ("grace hop", 7),
        ("\"marsh elbe\"", 7),
        ("soil", 7),
        // Nothing of a search is understood as anything but words.
        ("%", 0),
        ("sure %", 1),
        ("*", 0),
        ("debian*", 1),
        ("\"", 0),
        ("NOT sure", 0),
        ("title:sure", 0),
        ("sure OR folder", 0),
        ("NEAR(sure o)", 0),
        ("'; DROP TABLE publication", 0),
        ("sure\0debian", 1),
        (&"title ".repeat(10_000), 6),
        (&"x".repeat(100_000), 0),
    ] {
        let excerpt: String = text.chars().take(40).collect();
        assert_eq!(found(store, text).await.len(), expected, "{excerpt:?}");
    }
}

async fn finds_what_is_said_now(store: &dyn PublicationStore) {
    let (publication, _) = example("paaaaaaaaa", 10);
    let now = store.publication(publication.id).await.unwrap().unwrap();
    let words = Words {
        title: "Bookworm".to_owned(),
        ..Words::default()
    };
    let changed = store.reword(publication.id, &now.words(), &words).await;
    assert!(changed.unwrap());
    for (text, expected) in [("installer", 0), ("bookworm", 1), ("debian", 1)] {
        assert_eq!(found(store, text).await.len(), expected, "{text}");
    }
    // What nobody has seen changes no word.
    let seen = now.words();
    let changed = store.reword(publication.id, &seen, &seen).await;
    assert!(!changed.unwrap());
    assert_eq!(found(store, "installer").await.len(), 0);
}

async fn pages_of_a_search_go_on_where_the_last_ended(store: &dyn PublicationStore) {
    let all = found(store, "très").await;
    let mut query = PageQuery {
        text: "tres".to_owned(),
        limit: 2,
        ..PageQuery::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = store.page(&query).await.unwrap();
        let found = page.publications.iter();
        seen.extend(found.map(|it| it.publication.id.to_string()));
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    assert_eq!((seen.len(), seen), (6, all));
}

/// Four publications under one tag, `fa…` to `fd…`; the second has another licence than the rest.
async fn file_four(store: &dyn PublicationStore) -> [PublicationId; 4] {
    // Lengths and downloads are not in the order of numbers, and two have the same.
    let mut filed = Vec::new();
    for (id, total_length, completed) in [
        ("faaaaaaaaa", 30, 0),
        ("fbaaaaaaaa", 10, 5),
        ("fcaaaaaaaa", 20, 9),
        ("fdaaaaaaaa", 20, 5),
    ] {
        let (mut publication, metainfo) = example(id, 50);
        publication.total_length = total_length;
        publication.tags = vec!["peat".to_owned(), "bog's \"end\"".to_owned()];
        publication.creator = "Ada".to_owned();
        if id != "fbaaaaaaaa" {
            publication.licence = Some("MIT".parse().unwrap());
        }
        publication.title = format!("Filed {id}");
        store.insert(&publication, &metainfo).await.unwrap();
        let counts = Counts {
            completed,
            ..Counts::default()
        };
        let batch = [(publication.id, counts)];
        store.add_counts(&batch, Day(20_000)).await.unwrap();
        filed.push(publication.id);
    }
    filed.try_into().unwrap()
}

fn peat() -> Filters {
    Filters {
        tag: Some("peat".to_owned()),
        ..Filters::default()
    }
}

async fn shows_what_is_filed_in_every_order(store: &dyn PublicationStore) {
    let [a, b, c, d] = file_four(store).await;
    let peat = peat();
    let peat_and_mit = Filters {
        licence: Some("MIT".to_owned()),
        creator: Some("Ada".to_owned()),
        ..peat.clone()
    };
    let end = Filters {
        tag: Some("bog's \"end\"".to_owned()),
        ..Filters::default()
    };
    let other = Filters {
        licence: Some("CC-BY-4.0".to_owned()),
        ..peat.clone()
    };
    for (filters, order, expected) in [
        (&peat, Order::Newest, vec![d, c, b, a]),
        (&peat, Order::Oldest, vec![a, b, c, d]),
        (&peat, Order::Largest, vec![a, d, c, b]),
        (&peat, Order::MostWanted, vec![c, d, b, a]),
        (&end, Order::Oldest, vec![a, b, c, d]),
        (&peat_and_mit, Order::Newest, vec![d, c, a]),
        (&peat_and_mit, Order::Oldest, vec![a, c, d]),
        (&peat_and_mit, Order::Largest, vec![a, d, c]),
        (&peat_and_mit, Order::MostWanted, vec![c, d, a]),
        (&other, Order::Newest, vec![b]),
    ] {
        for text in ["", "filed"] {
            for limit in 1..=4 {
                let mut query = PageQuery {
                    text: text.to_owned(),
                    filters: filters.clone(),
                    order,
                    limit,
                    ..PageQuery::default()
                };
                let mut seen = Vec::new();
                loop {
                    let page = store.page(&query).await.unwrap();
                    let total = Total::Exactly(expected.len() as u64);
                    assert_eq!(page.total, total, "{query:?}");
                    seen.extend(page.publications.iter().map(|it| it.publication.id));
                    let Some(next) = page.next else { break };
                    query.after = Some(next);
                }
                assert_eq!(seen, expected, "{query:?}");
            }
        }
    }
}

async fn files_only_under_what_is_said_now(store: &dyn PublicationStore) {
    let [a, b, c, d] = ["fa", "fb", "fc", "fd"].map(|id| format!("{id}aaaaaaaa").parse().unwrap());
    for (kind, name) in [("tag", "pea"), ("licence", "mit"), ("creator", "ada")] {
        let filters = match kind {
            "tag" => Filters {
                tag: Some(name.to_owned()),
                ..Filters::default()
            },
            "licence" => Filters {
                licence: Some(name.to_owned()),
                ..Filters::default()
            },
            _ => Filters {
                creator: Some(name.to_owned()),
                ..Filters::default()
            },
        };
        let query = PageQuery {
            filters,
            ..PageQuery::default()
        };
        assert_eq!(store.page(&query).await.unwrap(), Page::default(), "{name}");
    }
    let licences = store.facets(FacetKind::Licence, 9).await.unwrap();
    assert_eq!(
        licences[1],
        Facet {
            name: "MIT".to_owned(),
            publications: 3
        },
        "{licences:?}"
    );
    let tags = store.facets(FacetKind::Tag, 2).await.unwrap();
    assert_eq!(tags.len(), 2);
    assert!(tags[0].publications >= tags[1].publications, "{tags:?}");

    // Other words, other places; and none for what is withdrawn.
    let now = store.publication(a).await.unwrap().unwrap();
    let untagged = Words {
        tags: Vec::new(),
        ..now.words()
    };
    assert!(store.reword(a, &now.words(), &untagged).await.unwrap());
    assert!(store.withdraw(c, 60).await.unwrap());
    let query = PageQuery {
        filters: peat(),
        order: Order::Largest,
        limit: 10,
        ..PageQuery::default()
    };
    let page = store.page(&query).await.unwrap();
    let left = page.publications.iter().map(|it| it.publication.id);
    assert_eq!(left.collect::<Vec<_>>(), [d, b]);
    assert_eq!(page.total, Total::Exactly(2));
    let licences = store.facets(FacetKind::Licence, 9).await.unwrap();
    assert_eq!(licences[1].publications, 2);
    for id in [a, b, d] {
        assert!(store.withdraw(id, 60).await.unwrap());
    }
    let licences = store.facets(FacetKind::Licence, 9).await.unwrap();
    assert_eq!(licences.len(), 1, "{licences:?}");
}

pub(super) async fn counts_matches_up_to_a_bound(store: &dyn PublicationStore) {
    for number in 0..=MAX_COUNTED {
        // Digits as letters, for ids have no 0 and 1.
        let digits = format!("{number:04}").into_bytes();
        let digits = digits
            .into_iter()
            .map(|digit| char::from(digit - b'0' + b'a'));
        let id = format!("zzzzzz{}", digits.collect::<String>());
        let (mut publication, metainfo) = example(&id, 10);
        publication.description = "One of a crowd".to_owned();
        publication.files.clear();
        store.insert(&publication, &metainfo).await.unwrap();
        let query = PageQuery {
            text: "crowd".to_owned(),
            ..PageQuery::default()
        };
        if number % 333 == 0 || number + 1 >= MAX_COUNTED {
            let expected = match number + 1 {
                count @ 0..=MAX_COUNTED => Total::Exactly(count),
                _ => Total::Many,
            };
            assert_eq!(store.page(&query).await.unwrap().total, expected);
        }
    }
}
