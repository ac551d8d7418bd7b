"""What a session asks `post.accept` about a letter on its way in."""

from typing import TYPE_CHECKING

from mailcore.post import accept
from mailcore.post.restrictions import Question
from mailcore.terms import Reply, Verdict

if TYPE_CHECKING:
    from mailcore.servers.smtp.session import SmtpSession
    from mailcore.servers.smtp.transaction import Transaction


async def verdict(session: "SmtpSession", stage: str, address: str) -> Verdict:
    """What RCPT or VRFY of this address is answered."""
    transaction = session.transaction
    if transaction is None:
        await session.named()
        return await session.ask(accept.recipient, Question(stage, session.client(), None, address))
    question = Question(
        stage,
        session.client(),
        transaction.sender,
        address,
        transaction.parameters.size,
        len(transaction.recipients),
        instance=transaction.instance,
    )
    return await session.ask(accept.recipient, question)


async def judge(
    session: "SmtpSession", transaction: "Transaction", stage: str, queue_id: str, size: int
) -> Reply | None:
    """smtpd_data_restrictions, smtpd_end_of_data_restrictions: the refusal, if any."""
    if not accept.has(stage):
        return None
    only = transaction.recipients[0].address if len(transaction.recipients) == 1 else None
    question = Question(
        stage,
        session.client(),
        transaction.sender,
        only,
        size,
        len(transaction.recipients),
        queue_id,
        instance=transaction.instance,
    )
    answer = await session.ask(accept.afterwards, question)
    if not answer.accepted:
        return answer.reply
    transaction.merge(answer.actions)
    return None
