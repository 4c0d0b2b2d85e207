"""What alembic runs to apply migrations: on the connection, and in the transaction, that `migrating` gives it."""

from alembic import context

from backalaika.catalogue.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
