import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeFormatterBuilder;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Prints COUNT events of a status or result topic, one JSON line each.
 *
 * <p>Arguments: BOOTSTRAP SCHEMA TOPIC COUNT [TIMEOUT_SECONDS]. SCHEMA is the registry's URL
 * (http://user:password@host:port/path), or, where the bridge runs without a registry, the file status_changed.avsc or
 * identification_result.avsc. Exits 1 when a record does not decode, 2 when fewer than COUNT came in time.
 */
public final class Consume {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final DateTimeFormatter MILLIS = new DateTimeFormatterBuilder().appendInstant(3).toFormatter();

    public static void main(String[] args) throws Exception {
        if (args.length < 4) {
            System.err.println("usage: Consume BOOTSTRAP SCHEMA TOPIC COUNT [TIMEOUT_SECONDS]");
            System.exit(1);
        }
        int missing = Integer.parseInt(args[3]);
        var deadline = Instant.now().plusSeconds(args.length > 4 ? Long.parseLong(args[4]) : 30);
        var settings = Map.<String, Object>of(
            "bootstrap.servers", args[0],
            "group.id", "consume-" + UUID.randomUUID(),
            "auto.offset.reset", "earliest",
            "enable.auto.commit", false,
            "isolation.level", "read_committed"); // Java's default also shows events of aborted transactions
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new AvroDeserializer(args[1]))) {
            consumer.subscribe(List.of(args[2]));
            while (missing > 0 && Instant.now().isBefore(deadline)) {
                for (var record : consumer.poll(Duration.ofMillis(500))) {
                    if (missing == 0) break;
                    System.out.writeBytes((line(record) + "\n").getBytes(StandardCharsets.UTF_8));
                    missing--;
                }
            }
        }
        if (missing > 0) {
            System.err.println(missing + " records missing");
            System.exit(2);
        }
    }

    private static String line(ConsumerRecord<String, GenericRecord> record) throws Exception {
        var headers = new TreeMap<String, String>();
        record.headers().forEach(h -> headers.put(h.key(), new String(h.value(), StandardCharsets.UTF_8)));
        return JSON.writeValueAsString(new TreeMap<>(Map.of(
            "partition", record.partition(),
            "offset", record.offset(),
            "timestamp", plain(Instant.ofEpochMilli(record.timestamp())),
            "key", record.key(),
            "headers", headers,
            "value", plain(record.value()))));
    }

    /** Makes a decoded value fit for JSON: times as RFC 3339 in milliseconds, bytes as hex. */
    private static Object plain(Object v) {
        if (v instanceof GenericRecord r) {
            var fields = new TreeMap<String, Object>();
            r.getSchema().getFields().forEach(f -> fields.put(f.name(), plain(r.get(f.pos()))));
            return fields;
        }
        if (v instanceof Collection<?> c) return c.stream().map(Consume::plain).toList();
        if (v instanceof ByteBuffer b) return HexFormat.of().formatHex(b.array(), b.position(), b.limit());
        if (v instanceof Instant t) return MILLIS.format(t);
        return v == null || v instanceof Number || v instanceof Boolean ? v : v.toString();
    }
}
