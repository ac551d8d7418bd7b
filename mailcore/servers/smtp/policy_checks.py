"""The session's calls to the acceptance policy (`mta.policy.accept`)."""

from typing import TYPE_CHECKING

from mailcore.mta.policy import accept
from mailcore.mta.policy.restrictions import RestrictionInput
from mailcore.values import Reply, Verdict

if TYPE_CHECKING:
    from mailcore.servers.smtp.session import SmtpSession
    from mailcore.servers.smtp.transaction import Transaction


async def check_recipient(session: "SmtpSession", stage: str, address: str) -> Verdict:
    """Return the verdict on RCPT or VRFY of this address."""
    transaction = session.transaction
    if transaction is None:
        await session.wait_for_client_name()
        return await session.evaluate(accept.check_recipient, RestrictionInput(stage, session.client(), None, address))
    question = RestrictionInput(
        stage,
        session.client(),
        transaction.sender,
        address,
        transaction.parameters.size,
        len(transaction.recipients),
        instance=transaction.instance,
    )
    return await session.evaluate(accept.check_recipient, question)


async def check_stage(
    session: "SmtpSession", transaction: "Transaction", stage: str, queue_id: str, size: int
) -> Reply | None:
    """Check smtpd_data_restrictions or smtpd_end_of_data_restrictions; return the rejection, if any."""
    if not accept.has_restrictions(stage):
        return None
    single = transaction.recipients[0].address if len(transaction.recipients) == 1 else None
    question = RestrictionInput(
        stage,
        session.client(),
        transaction.sender,
        single,
        size,
        len(transaction.recipients),
        queue_id,
        instance=transaction.instance,
    )
    verdict = await session.evaluate(accept.check_data, question)
    if not verdict.accepted:
        return verdict.reply
    transaction.merge(verdict.actions)
    return None
