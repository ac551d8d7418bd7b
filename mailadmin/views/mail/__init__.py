"""Views of mail in transit: queue, message tracking, mail log, delivery simulator.

They may import the rest of `mailadmin` except `api`, and mailcore below `servers`.
"""
