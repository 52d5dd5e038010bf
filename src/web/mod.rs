//! The face over HTTP: pages for people, a JSON API for programs, web seeds for BitTorrent clients.
//!
//! | module | what |
//! |---|---|
//! | `router` | the site's URL map on one page |
//! | `serve` | one connection: the tracker's paths first, then the router |
//! | `state` | what it stands on, and its bounds |
//! | `proxies` | where a request came from, if a proxy brought it |
//! | `guard` | hosts, origins and the headers of every answer |
//! | `auth`, `credentials`, `backoff` | who asks: sessions, tokens, passwords |
//! | `pages` | what people see |
//! | `api` | what programs ask |
//! | `upload`, `incoming`, `patience` | multipart bodies on their way in |
//! | `api::uploads` | resumable uploads, by tus |
//! | `content`, `body` | published files on their way out |
//! | `conditions`, `media` | what is asked of them, and what browsers may do with them |
//! | `archive`, `checksums` | a publication as one archive, and the SHA-256 of its files |
//! | `torrent` | torrent files and magnet links, put together when asked for |
//! | `idempotency` | requests that come again |
//! | `twin` | what has the same files already |
//! | `edits` | who may change a publication, and which version of it they saw |
//! | `particulars`, `citation` | what is said of a publication beside its words, and how it is cited |
//! | `markdown` | descriptions as HTML that can do no harm |
//! | `peek`, `qr` | what a page shows of a file, and the code of a magnet link |
//! | `links` | addresses, from `public_url` alone |
//! | `feed` | what was published last, for programs that follow it |
//! | `crawlers` | `robots.txt` and the sitemap, for search engines |
//! | `personal` | tracker addresses, on a private tracker with the passkey of whoever asks |
//! | `error` | what goes wrong, and which answer it becomes |

mod api;
mod archive;
mod assets;
mod auth;
mod backoff;
mod body;
mod chart;
mod checksums;
mod citation;
mod conditions;
mod content;
mod crawlers;
mod credentials;
mod direct;
mod edits;
mod error;
mod feed;
mod guard;
mod head;
mod health;
mod idempotency;
mod incoming;
mod links;
mod markdown;
mod media;
mod metrics;
mod pages;
mod particulars;
mod patience;
mod peek;
mod personal;
mod proxies;
mod qr;
mod router;
mod serve;
mod shelf;
mod state;
mod text;
mod torrent;
mod twin;
mod upgrade;
mod upload;
mod verification;
mod wanted;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use auth::{Auth, SourceAddress};
pub use credentials::{ApiToken, HashError, hash_password, hash_secret, is_password, new_token};
pub use links::{Links, PublicUrlError};
pub use proxies::TrustedProxies;
pub use router::router;
pub use serve::{Site, Sockets};
pub use state::{MAX_SITEMAP_ADDRESSES, Options, Parts, WebState};
