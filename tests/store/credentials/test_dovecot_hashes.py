"""Password hashes of other mail systems: every one was made by `doveadm pw -p "Grüße 42"` of Dovecot 2.3."""

import pytest
from django.contrib.auth.hashers import check_password

from mailcore.models import Account
from mailcore.store import directory
from mailcore.store.auth import account_login
from mailcore.store.credentials import dovecot_hashes

PASSWORD = "Grüße 42"
MADE = [
    "{PLAIN}Grüße 42",
    "{CRYPT}$2y$05$atRouGxj2hqoA.2X9T3yfORk41ZWcbrVbXH47FVqEjbvbl/PTqQoO",
    "{MD5-CRYPT}$1$A8MMbJxs$HtVu4HTjAihDcQBJfzZXI/",
    "{SHA}CmK9en2jYXsb8zuc4d9WeUr38aQ=",
    "{SSHA}98U+BLOBV60L3ptWW8ldACvn0cpIudfT",
    "{SHA256}NWrAsUSEnqWbFAB/MQcqoBSDWED5nxa99gP86N4WJDw=",
    "{SSHA256}RL2eDPC0KUR2vYj5JBPbXF9yFuqCjojCmA4rzsTTqR2E5MBc",
    "{SHA512}SNGKq5u/lAPkN1A2LNS8N0gB3yG141dZus+Lryv7FwaoYLVyGDMFWEzAS4HfVhNEx8hS2YCuKaSG6hDPWYiFFg==",
    "{SSHA512}y8myQ3i7Bi1bB8XrqTRgxIDJbNEN8T2X8ddVOIO7Ff6XI7hpKJaR8yo9v4zpvjHcir3WzaBShJ2/TjGzY1Y5I+PL278=",
    "{SHA256-CRYPT}$5$N0KD.tnaFTW6U2pZ$5L/Eq/Vl7kpnJMxYjl5ivWnPrWmvxgMchYJT9RMiNDB",
    "{SHA512-CRYPT}$6$I82QOM2o.5YcfdKe$HpMBa8YCZIRs9bfNLE4GKanwqym3J1Zt8RIFYXNSUP5bja.IQFDYj.3bVqZKYMa8feogt3iV0sgPg9opDia9M1",
    "{BLF-CRYPT}$2y$05$42ZjDejjqJ//wUq4y6LNpuRu/AQvrGHyjxLO2dCxCAe29vs5mstvq",
    "{PBKDF2}$1$bkxR7KMS5tKM0dNs$5000$a28cfc0c7555deb47d8fcfec7661104b674def12",
    "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$5Vh+PXVrU8/ZZO6LWhB9xg$VlXbyFX68gAELLsBlPpCb7QuEb92Yr0InZHxGrzDxZ4",
    "{SCRAM-SHA-256}4096,cfsVoEP2GfbV1jVBn5xFUQ==,thB4w+yaDFxM/wTRYEtPHFSUv+zL9wq2TjWEGTPZMQs=,0n2kLrBThRvvKkF4wr92BEZNabacbR9dI3iRx2Eoe0U=",
    "{PLAIN-MD5}6e6c915e9dd1c200d3a8ad8b9c598ba7",
    "{SMD5}5Y4SWxX+SAbOxh4e1VMYMdXgRhI=",
    "{LDAP-MD5}bmyRXp3RwgDTqK2LnFmLpw==",
    "{DES-CRYPT}rxNuX5Njn/Lt2",
    "{SHA256.HEX}356ac0b144849ea59b14007f31072aa014835840f99f16bdf603fce8de16243c",
    "$6$I82QOM2o.5YcfdKe$HpMBa8YCZIRs9bfNLE4GKanwqym3J1Zt8RIFYXNSUP5bja.IQFDYj.3bVqZKYMa8feogt3iV0sgPg9opDia9M1",
]


@pytest.mark.parametrize("made", MADE, ids=lambda made: made.partition("}")[0].lstrip("{")[:14])
def test_each_scheme(made):
    stored = dovecot_hashes.encode_hash(made)
    assert check_password(PASSWORD, stored)
    assert not check_password("grüße 42", stored)  # differs at once: DES looks at eight bytes only
    assert not check_password("", stored)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "!",
        "*",
        "{ROT13}Teüßr",
        "{SHA}not base64!",
        "{SSHA}CmK9en2jYXsb8zuc4d9WeUr38aQ=",
        "{SHA512-CRYPT}$1$A8MMbJxs$HtVu4HTjAihDcQBJfzZXI/",
        "{PBKDF2}$2$x$1$00",
        "{PBKDF2}garbage",
        "{ARGON2ID}garbage",
        "{SCRAM-SHA-256}1,2,3",
    ],
)
def test_what_is_no_hash(wrong):
    with pytest.raises(ValueError, match=r"invalid .* hash|unknown password scheme"):
        dovecot_hashes.encode_hash(wrong)


@pytest.mark.django_db
def test_it_opens_once_and_is_ours_from_then_on():
    directory.create_domain("benet.com")
    account = directory.create_account("lisi@benet.com", "", password_hash=dovecot_hashes.encode_hash(MADE[8]))
    assert account_login.log_in("lisi", "wrong", "imap", "192.0.2.1") is None
    assert account_login.log_in("lisi", PASSWORD, "imap", "192.0.2.1")
    stored = Account.objects.get(pk=account)
    assert "argon2id" in stored.password
    assert stored.scram


@pytest.mark.django_db
def test_scram_keys_that_came_along_are_kept():
    directory.create_domain("benet.com")
    account = directory.create_account("lisi@benet.com", "", password_hash=dovecot_hashes.encode_hash(MADE[14]))
    assert Account.objects.get(pk=account).scram == MADE[14].partition("}")[2]
    assert account_login.scram_offer("lisi").iterations == 4096
