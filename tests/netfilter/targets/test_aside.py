from __future__ import annotations

import pytest

from tests.netfilter.tables import goes_on, packet, refused


@pytest.mark.parametrize(
    "words",
    [
        "",
        "-j AUDIT --type drop",
        "-j CHECKSUM --checksum-fill",
        "-j CLASSIFY --set-class 0001:0010",
        "-j CONNSECMARK --save",
        "-p tcp -j ECN --ecn-tcp-remove",
        "-j IDLETIMER --timeout 5 --label x --alarm",
        "-j LED --led-trigger-id ssh --led-delay inf --led-always-blink",
        '-j LOG --log-prefix "~%&/()=?" --log-level 6 --log-tcp-sequence --log-tcp-options --log-ip-options --log-uid',
        "-j LOG --log-macdecode",
        "-j NFACCT --nfacct-name x",
        '-j NFLOG --nflog-prefix "DROP by policy" --nflog-group 100 --nflog-size 64 --nflog-threshold 2',
        "-j RATEEST --rateest-name eth0 --rateest-interval 250ms --rateest-ewmalog 1s",
        "-j SECMARK --selctx system_u:object_r:httpd_packet_t:s0",
        "-p tcp -j TCPMSS --clamp-mss-to-pmtu",
        "-p tcp -j TCPMSS --set-mss 1350",
        "-p tcp -j TCPOPTSTRIP --strip-options timestamp",
        "-j TEE --gateway 10.0.0.9 --oif eth1",
        "-j TRACE",
        "-j ULOG --ulog-nlgroup 1 --ulog-prefix x --ulog-cprange 0 --ulog-qthreshold 1",
    ],
)
def test_the_packet_goes_on_as_it_was(words: str) -> None:
    assert goes_on(words) == packet()


def test_a_missing_value() -> None:
    assert refused("-j LOG --log-prefix") == ("expected a value after --log-prefix", "--log-prefix")
