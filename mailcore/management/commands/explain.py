"""`explain`: show why a message would be accepted or refused, and where it would be delivered."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from mailcore.management.program import Program
from mailcore.mta.policy.explain import Explanation, Node, explain_delivery
from mailcore.wire.message import envelope_address as addresses


class Command(Program):
    help = (
        "Show the reply a client would get at RCPT TO, by which restrictions, and where the message would go."
        " Exit status 0: accepted, 1: refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--client", required=True, metavar="IP", help="the client's address")
        parser.add_argument("--client-name", metavar="NAME", help="its host name (default: looked up in the DNS)")
        parser.add_argument("--sender", required=True, metavar="ADDRESS", help='MAIL FROM; "" is the null sender')
        parser.add_argument("--recipient", required=True, metavar="ADDRESS", help="RCPT TO")
        parser.add_argument("--helo", default="", metavar="NAME", help="the HELO name")
        parser.add_argument("--sasl", default="", metavar="USER", help="the account it is logged in to")
        parser.add_argument("--tls", action="store_true", help="the session is encrypted")
        parser.add_argument("--size", type=int, default=0, metavar="BYTES", help="the SIZE it declares")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def run(self, options: dict[str, Any], given: Any) -> int:
        try:
            sender = addresses.parse_address(options["sender"]) if options["sender"] not in ("", "<>") else ""
            recipient = addresses.parse_address(options["recipient"])
        except addresses.AddressError as error:
            self.say(f"fatal: {error}")
            return 1
        explanation = explain_delivery(
            options["client"],
            sender,
            recipient,
            helo=options["helo"],
            login=options["sasl"].lower(),
            size=options["size"],
            tls="TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)" if options["tls"] else "",
            client_name=options["client_name"],
        )
        if options["json"]:
            self.print(json.dumps(_plain(explanation), ensure_ascii=False, indent=2))
        else:
            for line in _lines(explanation):
                self.print(line)
        return 0 if explanation.accepted else 1


def _plain(explanation: Explanation) -> dict[str, Any]:
    plain = asdict(explanation)
    plain["reply"] = str(explanation.reply)
    return plain


def _lines(explanation: Explanation) -> list[str]:
    lines, parameter = [], ""
    for step in explanation.steps:
        if step.parameter != parameter:
            parameter = step.parameter
            lines.append(f"{'  ' * step.depth}{parameter}")
        lines.append(f"{'  ' * step.depth}  {step.restriction:44} {step.result}")
    lines += [f"{what}: {text}" for what, text in explanation.notes]
    lines.append(f"reply: {explanation.reply}")
    if explanation.tree is not None:
        lines += ["destination:", *_branch(explanation.tree, 1)]
    return lines


def _branch(node: Node, depth: int) -> list[str]:
    quota_note = f" ({node.quota or 'has space'})" if node.kind == "mailbox" else ""
    target = f" → {node.where}{quota_note}" if node.where else ""
    lines = [f"{'  ' * depth}{node.address}: {node.kind}{target}"]
    for child in node.children:
        lines += _branch(child, depth + 1)
    return lines
