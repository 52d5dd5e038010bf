//! What the command line says of a publication beside its words.

use clap::Args;

use crate::domain::particulars::{Link, Particulars};
use crate::domain::publication::{NotAPublicationId, PublicationId};

#[derive(Debug, Args)]
pub(super) struct ParticularsArgs {
    /// The older version that it takes the place of, by its id or the address of its page
    #[arg(long, value_name = "ID|URL", value_parser = older)]
    replaces: Option<PublicationId>,
    /// Keep it out of the catalogue and of feeds: only those find it who have its link
    #[arg(long)]
    unlisted: bool,
    /// Its digital object identifier, such as 10.5281/zenodo.1234
    #[arg(long, default_value = "")]
    doi: String,
    /// A page about it, perhaps with a title: 'The paper URL'; may be repeated
    #[arg(long = "link", value_name = "[TITLE ]URL")]
    links: Vec<String>,
    /// A tracker beside the server's own; may be repeated
    #[arg(short, long = "announce", value_name = "URL")]
    trackers: Vec<String>,
    /// A web seed beside the server's own (BEP 19); may be repeated
    #[arg(long = "web-seed", value_name = "URL")]
    web_seeds: Vec<String>,
}

fn older(text: &str) -> Result<PublicationId, NotAPublicationId> {
    PublicationId::in_address(text)
}

impl ParticularsArgs {
    pub(super) fn read(&self) -> Particulars {
        Particulars {
            unlisted: self.unlisted,
            replaces: self.replaces,
            doi: self.doi.clone(),
            links: self.links.iter().map(|it| Link::from_line(it)).collect(),
            trackers: self.trackers.clone(),
            web_seeds: self.web_seeds.clone(),
        }
    }
}
