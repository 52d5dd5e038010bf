//! The catalogue: what is published, newest first or in another order, all of it or what is searched and filtered for.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Html;

use super::Frame;
use super::details::name_in_words;
use crate::catalog::Catalog;
use crate::domain::account::WhoMayPublish;
use crate::domain::licence::Licence;
use crate::store::publications::{
    Facet, FacetKind, Filters, MAX_COUNTED, Order, PublicationSummary, Total,
};
use crate::tracker::service::Tracker;
use crate::web::auth::{Auth, Viewer};
use crate::web::error::{WebError, page as render};
use crate::web::markdown::beginning;
use crate::web::text::{counted, day, excerpt, grouped, machine_time, shown, size};
use crate::web::wanted::{Wanted, cursor_text};

/// Publications on a page.
const PAGE: u32 = 20;

/// Characters of a description that the list shows.
const EXCERPT: usize = 180;

/// Tags and licences that the filters offer, those with most publications.
const OFFERED: u32 = 50;

#[derive(Template)]
#[template(path = "browse.html")]
struct BrowsePage {
    frame: Frame,
    query: String,
    creator: String,
    tags: Vec<Choice>,
    licences: Vec<Choice>,
    orders: Vec<Choice>,
    /// Whether anything but the newest of all is shown by a filter or an order.
    is_filtered: bool,
    /// What is shown of the catalogue, in words that follow how many it is; empty for all.
    narrowed: String,
    /// Why nothing is shown.
    nothing: String,
    /// Each filter, and the address without it.
    filters: Vec<Filter>,
    order: &'static str,
    /// How many match, in words.
    count: String,
    cards: Vec<Card>,
    /// The address of the first page, on all others.
    first: Option<String>,
    /// The address of the next page.
    next: Option<String>,
    first_words: &'static str,
    next_words: &'static str,
    rss: String,
    json_feed: String,
    /// Whether there is no account yet.
    awaits_setup: bool,
}

/// What can be chosen in a filter.
struct Choice {
    value: String,
    label: String,
    is_chosen: bool,
}

struct Filter {
    label: String,
    without: String,
}

struct Card {
    href: String,
    title: String,
    publisher: String,
    creator: String,
    licence: Option<String>,
    excerpt: String,
    size: String,
    files: String,
    seeders: String,
    day: String,
    machine_time: String,
}

/// `GET /`
pub(in crate::web) async fn page(
    State(catalog): State<Catalog>,
    State(tracker): State<Arc<Tracker>>,
    State(auth): State<Arc<Auth>>,
    State(who_may_publish): State<WhoMayPublish>,
    Viewer(viewer): Viewer,
    Query(wanted): Query<Wanted>,
) -> Result<Html<String>, WebError> {
    let order = wanted.order()?;
    let query = wanted.page(PAGE)?;
    let store = catalog.store();
    let found = store.page(&query).await?;
    let tags = store.facets(FacetKind::Tag, OFFERED).await?;
    let licences = store.facets(FacetKind::Licence, OFFERED).await?;
    let cards = found.publications.iter();
    let cards = cards.map(|summary| Card::new(summary, &tracker)).collect();
    let next = found.next.map(|cursor| Wanted {
        cursor: Some(cursor_text(cursor)),
        ..wanted.first_page()
    });
    let start = wanted.first_page();
    // A feed is newest first, whatever the page is.
    let followed = Wanted {
        sort: String::new(),
        ..start.clone()
    };
    let (first_words, next_words) = match order {
        Order::Newest => ("Newest", "Older"),
        _ => ("First page", "Next page"),
    };
    render(&BrowsePage {
        frame: Frame::new(viewer.as_ref(), who_may_publish),
        creator: query.filters.creator.clone().unwrap_or_default(),
        tags: choices(&tags, query.filters.tag.as_deref(), shown),
        licences: choices(
            &licences,
            query.filters.licence.as_deref(),
            licence_in_words,
        ),
        orders: orders(order),
        is_filtered: query.filters != Filters::default() || order != Order::Newest,
        narrowed: wanted.in_words().join(", "),
        nothing: nothing_in_words(&wanted),
        filters: filters(&start),
        order: order_in_words(order),
        count: count_in_words(found.total),
        cards,
        first: wanted.cursor.as_ref().map(|_| start.address("/")),
        next: next.map(|next| next.address("/")),
        first_words,
        next_words,
        rss: followed.address("/feed.xml"),
        json_feed: followed.address("/feed.json"),
        awaits_setup: auth.is_setup_open(),
        query: query.text,
    })
}

/// What a filter offers, in the order of the alphabet; what is chosen is among it.
fn choices(facets: &[Facet], chosen: Option<&str>, in_words: fn(&str) -> String) -> Vec<Choice> {
    let mut choices: Vec<Choice> = (facets.iter())
        .map(|facet| Choice {
            label: format!(
                "{} ({})",
                in_words(&facet.name),
                grouped(facet.publications)
            ),
            is_chosen: chosen == Some(&facet.name),
            value: facet.name.clone(),
        })
        .collect();
    if let Some(chosen) = chosen
        && !choices.iter().any(|choice| choice.is_chosen)
    {
        choices.push(Choice {
            value: chosen.to_owned(),
            label: in_words(chosen),
            is_chosen: true,
        });
    }
    choices.sort_by(|a, b| a.label.cmp(&b.label));
    choices
}

fn licence_in_words(id: &str) -> String {
    let licence = id.parse::<Licence>();
    licence.map_or_else(|_| shown(id), |licence| name_in_words(&licence))
}

fn orders(chosen: Order) -> Vec<Choice> {
    let orders = [
        (Order::Newest, ""),
        (Order::Oldest, "oldest"),
        (Order::Largest, "largest"),
        (Order::MostWanted, "wanted"),
    ];
    let orders = orders.into_iter().map(|(order, value)| Choice {
        value: value.to_owned(),
        label: order_in_words(order).to_owned(),
        is_chosen: order == chosen,
    });
    orders.collect()
}

const fn order_in_words(order: Order) -> &'static str {
    match order {
        Order::Newest => "Newest first",
        Order::Oldest => "Oldest first",
        Order::Largest => "Largest first",
        Order::MostWanted => "Most wanted first",
    }
}

fn nothing_in_words(wanted: &Wanted) -> String {
    let words = wanted.in_words().join(", ");
    match words.strip_prefix("matching ") {
        Some(words) => format!("Nothing here matches {words}. Try fewer or shorter words."),
        None => format!("No publication here is {words}."),
    }
}

/// The filters in force, each with the way to be rid of it.
fn filters(wanted: &Wanted) -> Vec<Filter> {
    let filter = |words: Vec<String>, without: Wanted| Filter {
        label: words.concat(),
        without: without.address("/"),
    };
    let only = |tag: &str, licence: &str, creator: &str| {
        let only = Wanted {
            tag: tag.to_owned(),
            licence: licence.to_owned(),
            creator: creator.to_owned(),
            ..Wanted::default()
        };
        only.in_words()
    };
    let Wanted {
        tag,
        licence,
        creator,
        ..
    } = wanted;
    let mut without = [wanted.clone(), wanted.clone(), wanted.clone()];
    without[0].tag.clear();
    without[1].licence.clear();
    without[2].creator.clear();
    let words = [
        only(tag, "", ""),
        only("", licence, ""),
        only("", "", creator),
    ];
    let filters = words.into_iter().zip(without);
    filters
        .filter(|(words, _)| !words.is_empty())
        .map(|(words, without)| filter(words, without))
        .collect()
}

fn count_in_words(total: Total) -> String {
    match total {
        Total::Exactly(total) => counted(total, "publication", "publications"),
        Total::Many => format!("More than {} publications", grouped(MAX_COUNTED)),
    }
}

impl Card {
    fn new(summary: &PublicationSummary, tracker: &Tracker) -> Self {
        let publication = &summary.publication;
        let seeders = u64::from(tracker.counts(&publication.info_hashes).seeders);
        Self {
            href: format!("/p/{}", publication.id),
            title: shown(&publication.title),
            publisher: publication.publisher.clone(),
            creator: shown(&publication.creator),
            licence: publication.licence.as_ref().map(name_in_words),
            excerpt: excerpt(&beginning(&publication.description), EXCERPT),
            size: size(publication.total_length),
            files: counted(summary.file_count, "file", "files"),
            seeders: counted(seeders, "seeder", "seeders"),
            day: day(publication.published_at),
            machine_time: machine_time(publication.published_at),
        }
    }
}
