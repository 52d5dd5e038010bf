//! The real server, driven from outside: the built binary on a data directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything here may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// For small disks.
const NO_RESERVE: [(&str, &str); 1] = [("SOWER_CONTENT__RESERVE_BYTES", "0")];

/// A running `sower serve`. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Gone before the folder that it lies in.
    disk: Option<SmallDisk>,
    folder: tempfile::TempDir,
    pub(crate) url: String,
    environment: Vec<(String, String)>,
}

impl Server {
    /// Starts a server on a free port of the loopback.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with variables of the configuration.
    pub(crate) fn start_with(environment: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), None, environment)
    }

    /// Starts a server whose data directory is a disk of its own, of so many bytes; `None` where that cannot be made.
    pub(crate) fn start_on_small_disk(bytes: u64, environment: &[(&str, &str)]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let disk = SmallDisk::mount(folder.path().join("data"), bytes);
        if disk.is_none() {
            eprintln!("skipped: no disk can be mounted here");
        }
        Some(Self::start_in(folder, Some(disk?), environment))
    }

    /// Starts a server whose data directory is a disk of its own that can be [copied](SmallDisk::copy); `None` where that cannot be made.
    pub(crate) fn start_on_disk_image(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let disk = SmallDisk::format(folder.path(), bytes);
        if disk.is_none() {
            eprintln!("skipped: no image of a disk can be mounted here");
        }
        Some(Self::start_in(folder, Some(disk?), &NO_RESERVE))
    }

    /// Starts a server on a copy of another one's disk.
    pub(crate) fn start_on_copy(folder: tempfile::TempDir) -> Self {
        let disk = SmallDisk::mount_image(folder.path()).unwrap();
        Self::start_in(folder, Some(disk), &NO_RESERVE)
    }

    /// Looks at something while the server stands still, and nothing that it has asked of the disk is under way.
    pub(crate) fn while_stopped<T>(&self, look: impl FnOnce() -> T) -> T {
        self.signal("-STOP");
        let threads = format!("/proc/{}/task", self.child.id());
        wait_for("all threads to stand still", || {
            let mut threads = std::fs::read_dir(&threads).unwrap();
            let all = threads.all(|thread| {
                let stat = std::fs::read_to_string(thread.unwrap().path().join("stat"));
                stat.is_ok_and(|stat| stat.rsplit(')').next().unwrap().starts_with(" T"))
            });
            all.then_some(())
        });
        let seen = look();
        self.signal("-CONT");
        seen
    }

    fn start_in(
        folder: tempfile::TempDir,
        disk: Option<SmallDisk>,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut environment: Vec<(String, String)> = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let data = folder.path().join("data").display().to_string();
        environment.push(("SOWER_DATA_DIR".to_owned(), data));
        if !environment.iter().any(|(name, _)| name == "SOWER_LISTEN") {
            environment.push(("SOWER_LISTEN".to_owned(), "127.0.0.1:0".to_owned()));
        }
        let (child, ready) = spawn(folder.path(), &environment);
        Self {
            child,
            disk,
            folder,
            url: own_url(&ready),
            environment,
        }
    }

    /// Stops the server with SIGTERM, as an operator does, and starts it again on the same data.
    pub(crate) fn restart(mut self) -> Self {
        self.stop();
        let (child, ready) = spawn(self.folder.path(), &self.environment);
        self.url = own_url(&ready);
        self.child = child;
        self
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Writes the configuration file, has the server read it, and waits until its log has so many lines with these words.
    pub(crate) fn configure(&self, file: &str, words: &str, lines: usize) {
        std::fs::write(self.folder.path().join("config.toml"), file).unwrap();
        self.signal("-HUP");
        wait_for("the configuration to be read", || {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
            (log.matches(words).count() >= lines).then_some(())
        });
    }

    /// Stops the server with SIGTERM and waits until it has ended.
    pub(crate) fn stop(&mut self) -> std::process::ExitStatus {
        self.signal("-TERM");
        wait_for("the server to end", || self.child.try_wait().unwrap())
    }

    /// Kills the server without a word, as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the server again on the same data after [`kill`](Self::kill).
    pub(crate) fn start_again(mut self) -> Self {
        let (child, ready) = spawn(self.folder.path(), &self.environment);
        self.url = own_url(&ready);
        self.child = child;
        self
    }

    /// The disk of a server that was started on one.
    pub(crate) fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().unwrap()
    }

    /// A folder for the test's own files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `host:port` of the one port.
    pub(crate) fn address(&self) -> String {
        let port = self.url.rsplit(':').next().unwrap();
        format!("127.0.0.1:{port}")
    }

    /// Bytes of memory in use (`VmRSS`).
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// Bytes of memory in use when it was most (`VmHWM`).
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    }

    /// The values of a line of the metrics, or of all that begin so, added up.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = String::from_utf8(get(&format!("{}/metrics", self.url))).unwrap();
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        lines
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
            .sum()
    }

    /// Runs a command of the program on this server's data.
    pub(crate) fn sower(&self, arguments: &[&str], stdin: &str) -> Output {
        run(self.folder.path(), &self.environment, arguments, stdin)
    }

    /// An API token of an administrator, made on the command line.
    pub(crate) fn token(&self) -> String {
        self.token_for("ada")
    }

    /// An API token of an administrator of this name, who is made for it.
    pub(crate) fn token_for(&self, name: &str) -> String {
        let added = self.sower(
            &["user", "add", name, "--role", "admin", "--password-stdin"],
            "correct horse\n",
        );
        assert!(added.status.success(), "{added:?}");
        let created = self.sower(&["token", "create", "--user", name], "");
        assert!(created.status.success(), "{created:?}");
        String::from_utf8(created.stdout).unwrap().trim().to_owned()
    }

    /// Publishes files (name in the form, content) through the API, and gives the answer's status and body.
    pub(crate) fn publish(
        &self,
        token: &str,
        fields: &[(&str, &str)],
        files: &[(&str, &[u8])],
    ) -> (u16, Value) {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "-w",
            "\n%{http_code}",
            "-H",
            &format!("Authorization: Bearer {token}"),
        ]);
        for (name, value) in fields {
            curl.args(["--form-string", &format!("{name}={value}")]);
        }
        for (number, (name, content)) in files.iter().enumerate() {
            let path = self.folder().join(format!("form-{number}"));
            std::fs::write(&path, content).unwrap();
            curl.args([
                "-F",
                &format!("files=@{};filename=\"{name}\"", path.display()),
            ]);
        }
        let output = curl
            .arg(format!("{}/api/v1/publications", self.url))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (
            status.parse().unwrap(),
            serde_json::from_str(body).unwrap_or_else(|_| Value::from(body)),
        )
    }
}

impl Server {
    /// How many publications the catalogue lists.
    pub(crate) fn publication_count(&self) -> usize {
        let page: Value =
            serde_json::from_slice(&get(&format!("{}/api/v1/publications", self.url))).unwrap();
        page["publications"].as_array().unwrap().len()
    }

    /// How many files of content lie in the data directory, staged ones too.
    pub(crate) fn stored(&self) -> usize {
        fn files(folder: &Path) -> usize {
            let Ok(entries) = std::fs::read_dir(folder) else {
                return 0;
            };
            let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
            paths
                .map(|path| if path.is_dir() { files(&path) } else { 1 })
                .sum()
        }
        files(&self.folder.path().join("data/content"))
    }
}

/// A disk in memory, or in a file.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(place: PathBuf, bytes: u64) -> Option<Self> {
        std::fs::create_dir(&place).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]);
        let mounted = mount.arg(&place).output().ok()?;
        mounted.status.success().then_some(Self(place))
    }

    /// Makes a disk in a file of `folder`. Its journal is written when somebody syncs, and not by itself within any test's time.
    fn format(folder: &Path, bytes: u64) -> Option<Self> {
        let image = Self::image(folder);
        std::fs::File::create(&image)
            .unwrap()
            .set_len(bytes)
            .unwrap();
        let formatted = Command::new("mkfs.ext4")
            .args(["-q", "-F"])
            .arg(image)
            .output()
            .ok()?;
        formatted
            .status
            .success()
            .then(|| Self::mount_image(folder))?
    }

    fn mount_image(folder: &Path) -> Option<Self> {
        let place = folder.join("data");
        std::fs::create_dir(&place).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-o", "loop,commit=600"])
            .arg(Self::image(folder));
        let mounted = mount.arg(&place).output().ok()?;
        mounted.status.success().then_some(Self(place))
    }

    fn image(folder: &Path) -> PathBuf {
        folder.join("disk")
    }

    /// The disk as a power cut at this moment would leave it, for [`Server::start_on_copy`]: without what is in the system's memory only.
    /// Nobody may write to it meanwhile.
    pub(crate) fn copy(&self) -> tempfile::TempDir {
        let (image, folder) = (
            Self::image(self.0.parent().unwrap()),
            tempfile::tempdir().unwrap(),
        );
        wait_for("the disk to come to rest", || {
            let bytes = std::fs::read(&image).unwrap();
            (bytes == std::fs::read(&image).unwrap())
                .then(|| std::fs::write(Self::image(folder.path()), bytes).unwrap())
        });
        folder
    }

    /// Bytes that are free.
    pub(crate) fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.0).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Fills the disk until only so many bytes are free, in the place of what filled it before.
    pub(crate) fn fill(&self, left: u64) {
        self.clear();
        let filler = std::fs::File::create(self.filler()).unwrap();
        rustix::fs::fallocate(
            filler,
            rustix::fs::FallocateFlags::empty(),
            0,
            self.free() - left,
        )
        .unwrap();
    }

    /// Takes away what filled the disk.
    pub(crate) fn clear(&self) {
        let _ = std::fs::remove_file(self.filler());
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Asks a program to stop, as Ctrl+C does.
pub(crate) fn interrupt(running: &Child) {
    let id = running.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status();
    assert!(sent.unwrap().success());
}

/// Holds a publication against the torrent that `sower create` makes of a folder beside the server.
pub(crate) fn expect_torrent_of(server: &Server, folder: &str, publication: &Value) {
    let created = server.sower(&["create", folder, "--format", "hybrid", "-o", "-"], "");
    std::fs::write(server.folder().join("created.torrent"), created.stdout).unwrap();
    let shown = server.sower(&["show", "created.torrent", "--json"], "");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    for hash in ["info_hash_v1", "info_hash_v2"] {
        assert!(shown[hash].is_string(), "{shown}");
        assert_eq!(publication[hash], shown[hash]);
    }
}

/// What curl prints.
pub(crate) fn curl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "60"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "curl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// The body behind an address; fails the test where it is not there.
pub(crate) fn get(url: &str) -> Vec<u8> {
    curl(&["-f", url])
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log"));
            eprintln!("the server said: {}", log.unwrap_or_default());
        }
    }
}

/// The server's address, without a slash at the end.
/// Where this machine reaches the server, whatever the world calls it.
fn own_url(ready: &Value) -> String {
    let (_, port) = ready["listen"].as_str().unwrap().rsplit_once(':').unwrap();
    format!("http://localhost:{port}")
}

fn spawn(folder: &Path, environment: &[(String, String)]) -> (Child, Value) {
    let ready = folder.join("ready.json");
    let _ = std::fs::remove_file(&ready);
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    let mut child = command(folder, environment)
        .args(["serve", "--ready-file"])
        .arg(&ready)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let line = wait_for("the server to be ready", || {
        if let Some(status) = child.try_wait().unwrap() {
            panic!(
                "the server ended with {status}: {}",
                std::fs::read_to_string(folder.join("log")).unwrap()
            );
        }
        std::fs::read_to_string(&ready).ok()
    });
    (child, serde_json::from_str(&line).unwrap())
}

/// Runs a command of the program in `folder` and waits for it.
pub(crate) fn run(
    folder: &Path,
    environment: &[(String, String)],
    arguments: &[&str],
    stdin: &str,
) -> Output {
    feed(
        command(folder, environment).args(arguments),
        stdin.as_bytes(),
    )
}

/// Runs a command of the program that is given bytes to read.
pub(crate) fn run_with_bytes(folder: &Path, arguments: &[&str], stdin: &[u8]) -> Output {
    feed(command(folder, &[]).args(arguments), stdin)
}

fn feed(command: &mut Command, stdin: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // A command that refuses its arguments never reads: a broken pipe is its right.
    let _ = std::io::Write::write_all(&mut pipe, stdin);
    drop(pipe);
    child.wait_with_output().unwrap()
}

fn command(folder: &Path, environment: &[(String, String)]) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(folder);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SOWER")) {
        command.env_remove(name);
    }
    // No test asks nodes out in the world.
    command.env("SOWER_DHT__BOOTSTRAP", "");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_sower"))
}

/// Asks again and again until there is an answer; fails the test when patience ends.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    #[expect(clippy::disallowed_methods, reason = "tests wait for real processes")]
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        #[expect(clippy::disallowed_methods, reason = "tests wait for real processes")]
        let now = Instant::now();
        assert!(now < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
