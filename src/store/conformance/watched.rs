//! The suite for what was published from the watch folder.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::store::watched::{WatchStore, Watched};

/// Runs the suite on an empty store.
pub(crate) async fn check(store: &impl WatchStore) {
    assert_eq!(store.watched().await.unwrap(), []);
    let film = watched(b"/srv/film.mkv", 1, "aaaaaaaaaa");
    // The file system knows no character set.
    let album = watched(b"/srv/caf\xe9", 2, "bbbbbbbbbb");
    for watched in [&film, &album] {
        store.keep_watched(watched).await.unwrap();
    }
    assert_eq!(
        store.watched().await.unwrap(),
        [album.clone(), film.clone()]
    );

    let another = watched(b"/srv/film.mkv", 3, "cccccccccc");
    store.keep_watched(&another).await.unwrap();
    assert_eq!(
        store.watched().await.unwrap(),
        [album.clone(), another.clone()]
    );

    store.forget_watched(&album.path).await.unwrap();
    store.forget_watched(Path::new("/srv")).await.unwrap();
    assert_eq!(store.watched().await.unwrap(), [another]);
}

fn watched(path: &[u8], mark: u8, publication: &str) -> Watched {
    Watched {
        path: OsStr::from_bytes(path).into(),
        fingerprint: [mark; 32],
        publication: publication.parse().unwrap(),
    }
}
