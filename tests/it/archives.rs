//! Archives and checksums, judged by the programs that people open them with.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Output};

use sower::proto::zip::{DosTime, Member, central_header, end, end_length, local_header};

use crate::support::{Server, curl, get};

fn run(program: &str, arguments: &[&str], folder: &Path) -> Option<Output> {
    let mut command = Command::new(program);
    match command.args(arguments).current_dir(folder).output() {
        Ok(output) => Some(output),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{program}");
            eprintln!("skipped: {program} is not installed");
            None
        }
    }
}

fn python(script: &str, folder: &Path) -> String {
    let Some(output) = run("python3", &["-c", script], folder) else {
        return String::new();
    };
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_archive_opens_everywhere_and_its_checksums_are_right() {
    let server = Server::start();
    let big: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let (status, publication) = server.publish(
        &server.token(),
        &[("title", "field notes")],
        &[
            ("field notes/day 1/übersicht.txt", b"Nebel am Morgen.\n"),
            ("field notes/empty", b""),
            ("field notes/big.bin", &big),
        ],
    );
    assert_eq!(status, 201, "{publication}");
    let base = format!(
        "{}/files/{}",
        server.url,
        publication["id"].as_str().unwrap()
    );
    let place = tempfile::tempdir().unwrap();
    let archive = place.path().join("a.zip");
    std::fs::write(&archive, get(&format!("{base}.zip"))).unwrap();

    // A transfer that broke off goes on where it was.
    let half = place.path().join("half.zip");
    let whole = std::fs::read(&archive).unwrap();
    std::fs::write(&half, &whole[..700_000]).unwrap();
    curl(&[
        "-C",
        "-",
        "-o",
        half.to_str().unwrap(),
        &format!("{base}.zip"),
    ]);
    assert!(std::fs::read(&half).unwrap() == whole);

    if let Some(tested) = run("unzip", &["-tq", "a.zip"], place.path()) {
        assert!(tested.status.success(), "{tested:?}");
    }
    python(
        "import zipfile; z = zipfile.ZipFile('a.zip'); assert z.testzip() is None; z.extractall()",
        place.path(),
    );
    std::fs::write(
        place.path().join("SHA256SUMS"),
        get(&format!("{base}/SHA256SUMS")),
    )
    .unwrap();
    let checked = run(
        "sha256sum",
        &["--check", "--strict", "SHA256SUMS"],
        place.path(),
    )
    .unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

const NOON: (i32, u8, u8) = (2026, 11, 23);

#[test]
fn members_and_places_beyond_32_bits_are_found() {
    let place = tempfile::tempdir().unwrap();
    let modified = DosTime::new(NOON, (12, 0, 0));
    let long = Member {
        name: "long",
        length: 5 << 30,
    };
    let behind = Member {
        name: "behind",
        length: 3,
    };
    // The long one is a hole: nobody reads it here, so its sum does not matter.
    let mut out = File::create(place.path().join("a.zip")).unwrap();
    out.write_all(&local_header(long, 7, modified)).unwrap();
    let at = out.seek(SeekFrom::Current(5 << 30)).unwrap();
    out.write_all(&local_header(behind, 0x3524_41c2, modified))
        .unwrap();
    out.write_all(b"abc").unwrap();
    let directory_at = out.stream_position().unwrap();
    out.write_all(&central_header(long, 7, 0, modified))
        .unwrap();
    out.write_all(&central_header(behind, 0x3524_41c2, at, modified))
        .unwrap();
    let length = out.stream_position().unwrap() - directory_at;
    out.write_all(&end(2, directory_at, length)).unwrap();

    let script = "import zipfile; z = zipfile.ZipFile('a.zip'); print([i.file_size for i in z.infolist()], z.read('behind'))";
    assert_eq!(python(script, place.path()), "[5368709120, 3] b'abc'\n");
    if let Some(extracted) = run("unzip", &["-p", "a.zip", "behind"], place.path()) {
        assert_eq!(extracted.stdout, b"abc", "{extracted:?}");
    }
}

#[test]
fn more_members_than_16_bits_count_are_all_there() {
    let place = tempfile::tempdir().unwrap();
    let modified = DosTime::new(NOON, (12, 0, 0));
    let (mut bytes, mut directory, members) = (Vec::new(), Vec::new(), 70_000_u32);
    for number in 0..members {
        let name = format!("folder/{number}");
        let member = Member {
            name: &name,
            length: 0,
        };
        directory.extend(central_header(member, 0, bytes.len() as u64, modified));
        bytes.extend(local_header(member, 0, modified));
    }
    let (at, length) = (bytes.len() as u64, directory.len() as u64);
    bytes.extend(directory);
    let end = end(members.into(), at, length);
    assert_eq!(end.len() as u64, end_length(members.into(), at, length));
    bytes.extend(end);
    std::fs::write(place.path().join("a.zip"), bytes).unwrap();
    let script =
        "import zipfile; z = zipfile.ZipFile('a.zip'); print(len(set(z.namelist())), z.testzip())";
    assert_eq!(python(script, place.path()), "70000 None\n");
    if let Some(tested) = run("unzip", &["-tqq", "a.zip"], place.path()) {
        assert!(tested.status.success(), "{tested:?}");
    }
}
