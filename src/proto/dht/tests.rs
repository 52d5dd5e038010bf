use proptest::prelude::*;

use super::*;

fn asked(question: Question) -> Message {
    Message {
        transaction: Bytes::from_static(b"aa"),
        body: Body::Query(Query {
            id: (*b"abcdefghij0123456789").into(),
            is_read_only: false,
            want: None,
            question,
        }),
    }
}

fn answered(answer: Answer) -> Message {
    Message {
        transaction: Bytes::from_static(b"aa"),
        body: Body::Answer(answer),
    }
}

/// The packets that BEP 5 shows, and what they say.
fn examples() -> Vec<(&'static [u8], Message)> {
    let answer = || Answer::of((*b"0123456789abcdefghij").into());
    let near = || (*b"mnopqrstuvwxyz123456").into();
    vec![
        (
            b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",
            asked(Question::Ping),
        ),
        (
            b"d1:rd2:id20:0123456789abcdefghije1:t2:aa1:y1:re",
            answered(answer()),
        ),
        (
            b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
            asked(Question::FindNode(near())),
        ),
        (
            b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
            asked(Question::GetPeers((*b"mnopqrstuvwxyz123456").into())),
        ),
        (
            b"d1:rd2:id20:0123456789abcdefghij5:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re",
            answered(Answer {
                peers: vec!["97.120.106.101:11893".parse().unwrap(), "105.100.104.116:28269".parse().unwrap()],
                token: Some(Bytes::from_static(b"aoeusnth")),
                ..answer()
            }),
        ),
        (
            b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee",
            Message {
                transaction: Bytes::from_static(b"aa"),
                body: Body::Error(201, "A Generic Error Ocurred".to_owned()),
            },
        ),
        (
            b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti1e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
            asked(Question::AnnouncePeer {
                info_hash: (*b"mnopqrstuvwxyz123456").into(),
                port: None,
                token: Bytes::from_static(b"aoeusnth"),
            }),
        ),
    ]
}

#[test]
fn the_examples_of_bep_5_are_read_and_written() {
    for (packet, message) in examples() {
        assert_eq!(Message::decode(packet).as_ref(), Ok(&message));
        assert_eq!(message.encode(), packet);
    }
}

#[test]
fn every_truncation_is_an_error() {
    for (packet, _) in examples() {
        for length in 0..packet.len() {
            assert!(Message::decode(&packet[..length]).is_err());
        }
    }
}

#[test]
fn an_answer_of_libtorrent_is_read() {
    // Captured from libtorrent 2.1.1 on 127.0.0.1, asked for the peers of a torrent.
    let packet = b"d2:ip6:\x7f\x00\x00\x01\xb7\x971:rd2:id20:\xaf~\x83\xeeB~\x1f\xc7\xb0\xd8\xd2\x90\xdb\xf4\xbd\rg\xa8\xa3Z5:nodes26:abcdefghij0123456789\x7f\x00\x00\x01\xb7\x971:pi46999e5:token4:\xab\xc1g\xd6e1:t2:bb1:v4:LT\x02\x111:y1:re";
    let Body::Answer(answer) = Message::decode(packet).unwrap().body else {
        panic!("no answer");
    };
    let asker = "127.0.0.1:46999".parse().unwrap();
    assert_eq!(answer.asker, Some(asker));
    assert_eq!(
        answer.nodes,
        [Contact {
            id: (*b"abcdefghij0123456789").into(),
            address: asker
        }]
    );
    assert_eq!(answer.token.as_deref(), Some(&b"\xab\xc1g\xd6"[..]));
}

#[test]
fn what_is_no_message_is_refused() {
    for packet in [
        &b"le"[..],
        b"de",
        b"d1:t2:aa1:y1:qe",
        b"d1:ad2:id19:abcdefghij012345678e1:q4:ping1:t2:aa1:y1:qe",
        b"d1:ad2:id20:abcdefghij0123456789e1:q9:get_peers1:t2:aa1:y1:qe",
        b"d1:rde1:t2:aa1:y1:re",
        b"d1:t2:aa1:y1:xe",
    ] {
        assert!(
            Message::decode(packet).is_err(),
            "{}",
            packet.escape_ascii()
        );
    }
    let long = [
        b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t65:".as_slice(),
        &[b'x'; 65],
        b"1:y1:qe",
    ];
    assert_eq!(
        Message::decode(&long.concat()),
        Err(MessageError::Field("t"))
    );
    let announce = b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti0e5:token1:xe1:q13:announce_peer1:t2:aa1:y1:qe";
    assert_eq!(Message::decode(announce), Err(MessageError::Field("port")));
}

#[test]
fn a_question_that_is_not_known_can_be_refused_in_words() {
    let packet = b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q3:get2:roi1e1:t2:aa1:y1:qe";
    let Body::Query(query) = Message::decode(packet).unwrap().body else {
        panic!("no query");
    };
    assert_eq!(query.question, Question::Other);
    assert!(query.is_read_only);
}

#[test]
fn distance_counts_the_bits_in_common() {
    let zero = NodeId::from([0; 20]);
    assert_eq!(zero.common_bits(&zero), 160);
    let mut other = [0; 20];
    other[1] = 0x10;
    assert_eq!(zero.common_bits(&other.into()), 11);
    assert_eq!(zero.distance(&other.into()), other);
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<(u8, u8, u8)>().prop_map(|(a, b, c)| [1, a, b, c].into());
    let v6 = any::<[u8; 8]>().prop_map(|host| {
        let mut ip = [0x20; 16];
        ip[8..].copy_from_slice(&host);
        IpAddr::from(ip)
    });
    (prop_oneof![v4, v6], 1..=u16::MAX).prop_map(SocketAddr::from)
}

fn any_message() -> impl Strategy<Value = Message> {
    let id = any::<[u8; 20]>();
    let bytes = prop::collection::vec(any::<u8>(), 0..MAX_MARK).prop_map(Bytes::from);
    let question = prop_oneof![
        Just(Question::Ping),
        id.prop_map(|id| Question::FindNode(id.into())),
        id.prop_map(|id| Question::GetPeers(id.into())),
        (id, any::<u16>(), bytes.clone()).prop_map(|(id, port, token)| Question::AnnouncePeer {
            info_hash: id.into(),
            port: NonZeroU16::new(port),
            token,
        }),
    ];
    let want = prop::option::of(any::<bool>().prop_map(|v4| Want { v4, v6: true }));
    let query =
        (id, any::<bool>(), want, question).prop_map(|(id, is_read_only, want, question)| {
            Body::Query(Query {
                id: id.into(),
                is_read_only,
                want,
                question,
            })
        });
    let node = (id, any_address()).prop_map(|(id, address)| Contact {
        id: id.into(),
        address,
    });
    let answer = (
        id,
        prop::option::of(any_address()),
        prop::collection::vec(node, 0..8),
        prop::collection::vec(any_address(), 0..20),
        prop::option::of(bytes.clone()),
    )
        .prop_map(|(id, asker, mut nodes, peers, token)| {
            nodes.sort_by_key(|node| node.address.is_ipv6());
            Body::Answer(Answer {
                id: id.into(),
                asker,
                nodes,
                peers,
                token,
            })
        });
    let error = (any::<u16>(), "[a-z ]{0,50}").prop_map(|(code, words)| Body::Error(code, words));
    (bytes, prop_oneof![query, answer, error])
        .prop_map(|(transaction, body)| Message { transaction, body })
}

proptest! {
    #[test]
    fn messages_round_trip(message in any_message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
        let _ = Message::decode(&bytes);
    }
}
