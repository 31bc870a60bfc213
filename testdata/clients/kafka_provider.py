"""A provider that reads its requests from Kafka (delivery: stream), by a client that
is not ours.

    kafka_provider.py BROKER MNEMONIC DIR

takes one request of the topic, lays it into a folder of DIR that is named by its
MessageID (message.xml, content.xml, replyto.txt, as mezhved poll --out does), and
only then commits the offset: from then on the journal has it as delivered. Exits 1
when nothing comes within a minute.
"""
import pathlib
import sys
import xml.etree.ElementTree as ET

from kafka import KafkaConsumer

broker, mnemonic, inbox = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
consumer = KafkaConsumer(
    "mezhved.requests." + mnemonic, bootstrap_servers=broker, group_id=mnemonic,
    enable_auto_commit=False, auto_offset_reset="earliest", max_poll_records=1, consumer_timeout_ms=60000,
)
for record in consumer:
    headers = {key: value.decode() for key, value in record.headers if key != "mezhved-seal-2"}
    if headers.get("mezhved-to") != "stream":
        continue  # it waits in the queue: attachments, or too large for a record
    folder = inbox / headers["message-id"]
    folder.mkdir(parents=True, exist_ok=True)  # the same request twice is one request
    (folder / "message.xml").write_bytes(record.value)
    content = next(e for e in ET.fromstring(record.value).iter() if e.tag.endswith("}MessagePrimaryContent"))
    (folder / "content.xml").write_bytes(ET.tostring(content[0], encoding="utf-8"))
    (folder / "replyto.txt").write_text(headers["reply-to"])
    consumer.commit()
    consumer.close()
    print("REQUEST", headers["message-id"], "from", headers["sender"], "for", headers["service"], headers["service-version"])
    sys.exit(0)
sys.exit("nothing has come within a minute")
