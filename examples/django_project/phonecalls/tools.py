"""What the agents may do in the shop's database.

A coroutine function uses the async methods of the ORM. A plain function runs in a thread of its own, where it may
block; transactions need one. Who calls is not known for sure, so that nothing is done for a number alone.
"""

from __future__ import annotations

from django.db import transaction

from orders.models import Order
from realtime_sip.errors import ToolError


async def order_status(number: str) -> str:
    """Tell where an order is.

    Args:
        number: The number of the order, as on the receipt.
    """
    order = await Order.objects.filter(number=number).afirst()
    if order is None:
        raise ToolError("There is no such order.")
    when = f", and arrives on {order.arrives:%d %B}" if order.arrives else ""
    return f"It is {order.status}{when}."


def cancel_order(number: str, postcode: str) -> str:
    """Cancel an order that was not sent yet.

    Args:
        number: The number of the order, as on the receipt.
        postcode: The postcode that it would be sent to, as the caller says it.
    """
    with transaction.atomic():
        # Whoever packs it waits, or has sent it.
        order = Order.objects.select_for_update().filter(number=number, postcode=postcode).first()
        if order is None:
            raise ToolError("There is no such order for this postcode.")
        if order.status != Order.Status.PACKED:
            raise ToolError(f"It is too late: the order is {order.status}.")
        order.status = Order.Status.CANCELED
        order.save(update_fields=["status"])
    return "It is canceled."
