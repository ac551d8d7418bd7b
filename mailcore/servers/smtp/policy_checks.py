"""What a session asks `post.accept` about a message on its way in."""

from typing import TYPE_CHECKING

from mailcore.mta.policy import accept
from mailcore.mta.policy.restrictions import RestrictionInput
from mailcore.values import Reply, Verdict

if TYPE_CHECKING:
    from mailcore.servers.smtp.session import SmtpSession
    from mailcore.servers.smtp.transaction import Transaction


async def check_recipient(session: "SmtpSession", stage: str, address: str) -> Verdict:
    """What RCPT or VRFY of this address is answered."""
    transaction = session.transaction
    if transaction is None:
        await session.wait_for_client_name()
        return await session.ask(accept.check_recipient, RestrictionInput(stage, session.client(), None, address))
    question = RestrictionInput(
        stage,
        session.client(),
        transaction.sender,
        address,
        transaction.parameters.size,
        len(transaction.recipients),
        instance=transaction.instance,
    )
    return await session.ask(accept.check_recipient, question)


async def check_stage(
    session: "SmtpSession", transaction: "Transaction", stage: str, queue_id: str, size: int
) -> Reply | None:
    """smtpd_data_restrictions, smtpd_end_of_data_restrictions: the refusal, if any."""
    if not accept.has_restrictions(stage):
        return None
    only = transaction.recipients[0].address if len(transaction.recipients) == 1 else None
    question = RestrictionInput(
        stage,
        session.client(),
        transaction.sender,
        only,
        size,
        len(transaction.recipients),
        queue_id,
        instance=transaction.instance,
    )
    answer = await session.ask(accept.check_data, question)
    if not answer.accepted:
        return answer.reply
    transaction.merge(answer.actions)
    return None
