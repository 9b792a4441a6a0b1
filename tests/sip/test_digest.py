"""Digest: the values that RFCs and OpenSSL give, challenges as rooms write them, and one answer a realm."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.domain import Secret
from bridge_monitor.sip.digest import (
    ALGORITHMS,
    Challenge,
    Credential,
    answer,
    choose,
    compute,
    read_challenges,
)
from bridge_monitor.sip.grammar import split_list

MUFASA = Credential("http-auth@example.org", "Mufasa", Secret("Circle of Life"))
NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
OPAQUE = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
BASIC = 'Basic realm="a"'


def fields(value: str) -> dict[str, str]:
    """Return the parameters of a Digest answer."""
    scheme, _, rest = value.partition(" ")
    assert scheme == "Digest"
    pairs = [part.partition("=") for part in split_list(rest, "answer")]
    return {name: text for name, _, text in pairs}


class TestRfc7616Section391:
    """Its example of an Authorization, for both algorithms."""

    @pytest.mark.parametrize(
        ("algorithm", "response"),
        [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ],
    )
    def test_the_answer_is_the_rfc_s(self, algorithm: str, response: str) -> None:
        written = (
            f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
            f'nonce="{NONCE}", opaque="{OPAQUE}"'
        )
        challenges = read_challenges([written])
        assert challenges == [Challenge("http-auth@example.org", NONCE, algorithm, opaque=OPAQUE)]
        answered = answer(challenges[0], MUFASA, "GET", "/dir/index.html", uses=1, cnonce=CNONCE)
        assert fields(answered) == {
            "username": '"Mufasa"',
            "realm": '"http-auth@example.org"',
            "uri": '"/dir/index.html"',
            "algorithm": algorithm,
            "nonce": f'"{NONCE}"',
            "nc": "00000001",
            "cnonce": f'"{CNONCE}"',
            "qop": "auth",
            "response": f'"{response}"',
            "opaque": f'"{OPAQUE}"',
        }


class TestRfc7616Section34:
    """The request digest."""

    def test_a_nonce_s_uses_are_counted_in_eight_hex_digits(self) -> None:
        """§3.4: ``nc`` is part of the response."""
        challenge = Challenge(MUFASA.realm, NONCE)
        first, later = (answer(challenge, MUFASA, "BYE", "sip:a@b", uses=uses, cnonce="c") for uses in (1, 0x1A2))
        assert fields(later)["nc"] == "000001a2"
        assert fields(first)["response"] != fields(later)["response"]

    def test_the_rfc_2617_example_has_its_response(self) -> None:
        """RFC 2617 §3.5, where no algorithm is named: none is in the answer, and MD5 is meant."""
        credential = Credential("testrealm@host.com", "Mufasa", Secret("Circle Of Life"))
        challenge = Challenge("testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093")
        written = fields(answer(challenge, credential, "GET", "/dir/index.html", uses=1, cnonce="0a4f113b"))
        assert written["response"] == '"6629fae49393a05397450978507c4ef1"'
        assert "algorithm" not in written

    def test_without_qop_the_form_of_rfc_2069_answers(self) -> None:
        """RFC 2069 §2.4, with the response of its erratum 749: neither ``nc`` nor ``cnonce`` is sent."""
        credential = Credential("testrealm@host.com", "Mufasa", Secret("CircleOfLife"))
        (challenge,) = read_challenges(
            ['Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc"']
        )
        written = fields(answer(challenge, credential, "GET", "/dir/index.html", uses=1, cnonce="unused"))
        assert written["response"] == '"1949323746fe6a43ef61f9606e7febea"'
        assert written.keys() == {"username", "realm", "nonce", "uri", "response", "opaque"}

    @pytest.mark.parametrize("name", ["MD5-sess", "SHA-256-sess"])
    def test_a_session_s_key_rests_on_both_nonces(self, name: str) -> None:
        """§3.4.2: A1 = H(user:realm:password):nonce:cnonce."""
        hashed = ALGORITHMS[name.removesuffix("-sess")]
        inner = hashed(b"Mufasa:http-auth@example.org:Circle of Life")
        key = hashed(f"{inner}:{NONCE}:{CNONCE}".encode())
        whole = hashed(f"{key}:{NONCE}:00000001:{CNONCE}:auth:{hashed(b'GET:/dir/index.html')}".encode())
        challenge = Challenge(MUFASA.realm, NONCE, name)
        assert compute(challenge, MUFASA, "GET", "/dir/index.html", count="00000001", cnonce=CNONCE) == whole

    def test_vietnamese_names_and_passwords_are_hashed_as_utf_8(self) -> None:
        """§4: charset UTF-8."""
        credential = Credential("điểm cầu", "kiểm tra", Secret("mật khẩu"))
        challenge = Challenge("điểm cầu", "n", qop=False)
        first = ALGORITHMS["MD5"]("kiểm tra:điểm cầu:mật khẩu".encode())
        second = ALGORITHMS["MD5"](b"INVITE:sip:a@b")
        expected = ALGORITHMS["MD5"](f"{first}:n:{second}".encode())
        written = answer(challenge, credential, "INVITE", "sip:a@b", uses=1, cnonce="")
        assert fields(written)["response"] == f'"{expected}"'
        assert fields(written)["username"] == '"kiểm tra"'

    def test_quotes_in_a_realm_go_back_as_they_came(self) -> None:
        (challenge,) = read_challenges([r'Digest realm="the \"big\" room \\ 1", nonce="n"'])
        assert challenge.realm == r'the "big" room \ 1'
        written = answer(
            challenge, Credential(challenge.realm, 'a"b', Secret("p")), "BYE", "sip:a@b", uses=1, cnonce=""
        )
        assert r'realm="the \"big\" room \\ 1"' in written
        assert r'username="a\"b"' in written


class TestSha512256:
    """RFC 7616's §3.9.2 uses another hash than it names, so the truth is elsewhere."""

    def test_it_is_that_of_fips_180_4(self) -> None:
        """NIST's example for SHA-512/256: a SHA-512 that is cut short has other initial values."""
        assert ALGORITHMS["SHA-512-256"](b"abc") == "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed (Debian package openssl)")
    def test_the_whole_response_is_what_openssl_finds(self) -> None:
        def openssl(text: str) -> str:
            done = subprocess.run(
                ["openssl", "dgst", "-sha512-256", "-hex"], input=text.encode(), capture_output=True, check=True
            )
            return done.stdout.decode().rpartition("= ")[2].strip()

        first = openssl("Mufasa:http-auth@example.org:Circle of Life")
        second = openssl("INVITE:sip:room@192.0.2.9")
        expected = openssl(f"{first}:{NONCE}:00000002:{CNONCE}:auth:{second}")
        challenge = Challenge(MUFASA.realm, NONCE, "SHA-512-256")
        assert len(expected) == 64
        assert compute(challenge, MUFASA, "INVITE", "sip:room@192.0.2.9", count="00000002", cnonce=CNONCE) == expected


class TestRfc8760Section24:
    """Several challenges of one realm: the topmost that we support."""

    @pytest.mark.parametrize(
        ("order", "chosen"),
        [
            (["SHA-512-256", "SHA-256", "MD5"], "SHA-512-256"),
            (["SHA-256", "SHA-512-256", "MD5"], "SHA-256"),
            (["MD5", "SHA-256"], "MD5"),
            (["SHA3-256", "MD5"], "MD5"),
        ],
    )
    def test_the_order_is_the_server_s(self, order: list[str], chosen: str) -> None:
        values = [f'Digest realm="r", nonce="{name}", qop="auth", algorithm={name}' for name in order]
        assert {realm: one.algorithm for realm, one in choose(read_challenges(values)).items()} == {"r": chosen}

    def test_each_realm_has_one_of_its_own(self) -> None:
        values = [f'Digest realm="{realm}", nonce="{nonce}"' for realm, nonce in [("a", "1"), ("b", "2"), ("a", "3")]]
        assert {realm: one.nonce for realm, one in choose(read_challenges(values)).items()} == {"a": "1", "b": "2"}


class TestReading:
    @pytest.mark.parametrize(
        "value",
        [
            BASIC,
            "Bearer",
            "Negotiate YIIB==",
            'NTLM realm="r", nonce="n"',
            'Digest realm="r"',
            'Digest realm="r", nonce=""',
            'Digest nonce="n"',
            'Digest realm="r", nonce="n", algorithm=SHA3-256',
            'Digest realm="r", nonce="n", qop="auth-int"',
            'Digest realm="r", nonce="n", qop=token',
            'Digest realm="r", nonce="n", algorithm=MD5-sess',
            'realm="r", nonce="n"',
            "",
            ",,",
            "= = =",
        ],
    )
    def test_what_can_t_be_answered_is_passed_over(self, value: str) -> None:
        """RFC 3261 §22: unknown schemes are ignored; so is what isn't whole."""
        assert read_challenges([value]) == []
        assert [one.realm for one in read_challenges([value, 'Digest realm="good", nonce="n"'])] == ["good"]

    @pytest.mark.parametrize(
        "value",
        [
            'Digest realm="r", nonce="n,=\\"", qop="auth", algorithm=MD5, opaque="", stale=TRUE',
            'digest REALM="r",NONCE="n,=\\"",QOP="auth-int , AUTH",Algorithm="MD5",opaque="",stale="true"',
            'Digest  realm = "r" , nonce = "n,=\\"", qop=auth, algorithm=MD5, opaque="", stale=true, domain="sip:x"',
            '\tDigest realm=r, nonce="n,=\\"", qop=auth, algorithm="MD5", opaque="", stale=true, realm="again", ,',
            'Digest qop="auth",algorithm=MD5,stale=true,opaque="",realm="r",userhash=false,nonce="n,=\\""',
        ],
    )
    def test_as_rooms_write_it_is_as_good_as_by_the_grammar(self, value: str) -> None:
        """Case, blanks, quotes that are missing, superfluous or not closed, parameters that nobody knows."""
        assert read_challenges([value]) == [Challenge("r", 'n,="', "MD5", opaque="", stale=True)]

    def test_more_than_one_in_a_value_are_read_as_http_has_them(self) -> None:
        value = 'Basic realm="x", Negotiate, Digest realm="a", nonce="1", Digest realm="b", nonce="2", qop="auth"'
        assert read_challenges([value]) == [Challenge("a", "1", qop=False), Challenge("b", "2")]

    def test_a_quoted_value_that_isn_t_closed_takes_the_rest(self) -> None:
        assert read_challenges(['Digest realm="r", nonce="n, x']) == [Challenge("r", "n, x", qop=False)]

    def test_only_true_is_stale(self) -> None:
        (challenge,) = read_challenges(['Digest realm="r", nonce="n", stale=maybe'])
        assert not challenge.stale

    @given(st.text(alphabet=st.sampled_from('Digest realm="r",\\= \tnonce\udc80é'), max_size=80))
    def test_nothing_that_a_peer_writes_is_an_error(self, value: str) -> None:
        for challenge in read_challenges([value, f'Digest {value}, realm="r", nonce="n"']):
            written = answer(challenge, MUFASA, "INVITE", "sip:a@b", uses=1, cnonce="c")
            assert b"\n" not in written.encode("utf-8", "surrogateescape")

    def test_it_may_be_cut_anywhere(self) -> None:
        whole = f'Digest realm="a \\"b\\"", qop="auth, auth-int", algorithm=SHA-256, nonce="{NONCE}", opaque="{OPAQUE}"'
        for end in range(len(whole)):
            assert len(read_challenges([whole[:end]])) <= 1
