"""The cost of text searches in a large mailbox, with and without the full-text index.

    bench/searches.py [--messages N] [--words N]

Messages of N words each, drawn as often as words are in life (Zipf), two Chinese words in one of 500. One JSON line a
text that is searched for: milliseconds, the best of five, and how many messages have it.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def texts(messages: int, words: int) -> list[bytes]:
    chance = random.Random(1)
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in "aeiou"]
    vocabulary = ["".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(20_000)]
    weights = [1 / (rank + 3) for rank in range(len(vocabulary))]
    made = []
    for number in range(messages):
        body = " ".join(chance.choices(vocabulary, weights, k=words))
        if number % 500 == 0:
            body += " 今天的董事会议程"
        head = f"From: a{number % 50}@other.example\r\nSubject: message {number}\r\nMessage-ID: <{number}@bench>\r\n"
        made.append(f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n".encode())
    return made


def best(work: Callable[[], list[int]]) -> tuple[float, int]:
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        found = work()
        spent.append(time.perf_counter() - began)
    return round(min(spent) * 1000, 2), len(found)


def measure(options: argparse.Namespace) -> None:
    import django

    django.setup()
    from mailcore.store import directory
    from mailcore.store.mailbox import append_messages, fulltext, open_mailbox, search_query
    from mailcore.values import Owner
    from mailcore.wire.imap.cursor import Cursor
    from mailcore.wire.imap.syntax import search_syntax as wire

    directory.create_domain("benet.com")
    owner = Owner(directory.create_account("lisi@benet.com", "a-long-password"), "lisi@benet.com")
    place = open_mailbox.find_mailbox(owner, "INBOX")
    made = texts(options.messages, options.words)
    for at in range(0, len(made), 500):
        append_messages.append_messages(
            place, [append_messages.Upload(content, 0, (), None) for content in made[at : at + 500]]
        )
    frame = search_query.SearchContext(((1, (1 << 32) - 1),), {}, ())
    sought = ("xqzzqx", "message 777", "kuma", "the", "会议", "会", "ka", "today is the day of the meeting")

    def find(text: str) -> list[int]:
        key = wire.parse_program(Cursor(f'TEXT "{text}"'.encode(), utf8=True), "UTF-8")
        return search_query.find_uids(place.id, key, frame)

    before = {text: best(lambda text=text: find(text)) for text in sought}
    began = time.perf_counter()
    while fulltext.index_more(place.id):
        pass
    spent = time.perf_counter() - began
    print(
        json.dumps({"messages": options.messages, "ms a message to index": round(spent / options.messages * 1000, 3)})
    )
    for text in sought:
        with_index, found = best(lambda text=text: find(text))
        assert before[text][1] == found
        print(
            json.dumps(
                {"text": text, "found": found, "ms without": before[text][0], "ms with": with_index}, ensure_ascii=False
            )
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--words", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="youju-bench-") as folder:
        os.environ |= {
            "DATA_DIR": folder,
            "DJANGO_SETTINGS_MODULE": "mailcore.settings",
            "MAIL_TEXT_INDEX_MESSAGES": "1",
            "MAIL_VIRTUAL_MAILBOX_LIMIT": "0",
        }
        subprocess.run([sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity", "0"], check=True)
        sys.path.insert(0, str(ROOT))
        measure(options)


if __name__ == "__main__":
    main()
