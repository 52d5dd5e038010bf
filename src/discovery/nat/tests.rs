use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;

/// What a made-up router was asked.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Map(&'static str, u16),
    Unmap(&'static str, u16),
}

/// A router that answers in one protocol as it was told to.
struct Scripted {
    name: &'static str,
    answers: VecDeque<Result<u16, &'static str>>,
    asked: mpsc::UnboundedSender<Asked>,
}

#[async_trait]
impl Router for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn map(
        &mut self,
        port: Port,
        lifetime: Duration,
    ) -> Result<(Outside, Duration), Refusal> {
        let _ = self.asked.send(Asked::Map(self.name, port.number.get()));
        match self.answers.pop_front() {
            Some(Ok(outside)) => {
                let port = NonZeroU16::new(outside).unwrap();
                Ok((Outside { ip: None, port }, lifetime))
            }
            Some(Err(words)) => Err(Refusal(words.to_owned())),
            None => std::future::pending().await,
        }
    }

    async fn unmap(&mut self, port: Port) -> Result<(), Refusal> {
        let _ = self.asked.send(Asked::Unmap(self.name, port.number.get()));
        Ok(())
    }
}

struct Running {
    mappings: Mappings,
    asked: mpsc::UnboundedReceiver<Asked>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

/// A mapper of TCP port 7000 with two protocols, under a made-up clock.
#[expect(clippy::disallowed_methods, reason = "a test waits for its own task")]
fn run(first: &[Result<u16, &'static str>], second: &[Result<u16, &'static str>]) -> Running {
    let (tell, asked) = mpsc::unbounded_channel();
    let router = |name, answers: &[_]| -> Box<dyn Router> {
        Box::new(Scripted {
            name,
            answers: answers.iter().copied().collect(),
            asked: tell.clone(),
        })
    };
    let routers = vec![router("first", first), router("second", second)];
    let port = Port {
        transport: Transport::Tcp,
        number: NonZeroU16::new(7000).unwrap(),
    };
    let mapper = Mapper::new(&Options::default(), routers, [port]);
    let shutdown = CancellationToken::new();
    Running {
        mappings: mapper.mappings(),
        asked,
        task: tokio::spawn(mapper.run(shutdown.clone())),
        shutdown,
    }
}

impl Running {
    async fn next(&mut self) -> Asked {
        self.asked.recv().await.unwrap()
    }

    async fn end(self) -> Vec<Asked> {
        self.shutdown.cancel();
        self.task.await.unwrap();
        let mut asked = self.asked;
        std::iter::from_fn(|| asked.try_recv().ok()).collect()
    }
}

#[tokio::test]
async fn the_second_protocol_is_asked_where_the_first_is_refused_and_the_port_is_given_back() {
    let mut running = run(&[Err("not authorized")], &[Ok(7000)]);
    assert_eq!(running.next().await, Asked::Map("first", 7000));
    assert_eq!(running.next().await, Asked::Map("second", 7000));
    while running.mappings.all()[0].1.is_none() {
        tokio::task::yield_now().await;
    }
    let (_, mapping) = running.mappings.all()[0];
    assert_eq!(mapping.unwrap().outside.to_string(), ":7000");
    assert_eq!(mapping.unwrap().protocol, "second");
    assert_eq!(running.end().await, [Asked::Unmap("second", 7000)]);
}

#[tokio::test]
async fn nothing_is_given_back_where_nothing_was_mapped() {
    let mut running = run(&[Err("no")], &[Err("no")]);
    assert_eq!(running.next().await, Asked::Map("first", 7000));
    assert_eq!(running.next().await, Asked::Map("second", 7000));
    assert_eq!(running.mappings.all()[0].1, None);
    assert_eq!(running.end().await, []);
}

#[tokio::test]
async fn a_silent_router_does_not_hold_up_the_end() {
    let mut running = run(&[], &[]);
    assert_eq!(running.next().await, Asked::Map("first", 7000));
    assert_eq!(running.end().await, []);
}

#[test]
fn addresses_outside_are_written_as_usual() {
    let outside = |ip: &str| Outside {
        ip: Some(ip.parse().unwrap()),
        port: NonZeroU16::new(81).unwrap(),
    };
    assert_eq!(outside("192.0.2.1").to_string(), "192.0.2.1:81");
    assert_eq!(outside("2001:db8::1").to_string(), "[2001:db8::1]:81");
}
