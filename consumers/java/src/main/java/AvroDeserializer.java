import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.data.TimeConversions;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;

/**
 * Reads both framings of the content-type header: single-object with the schema of a file, confluent (0x00, the schema's id
 * in 4 bytes, the datum) with those of a registry. Where Confluent's or Apicurio's own deserializer is at hand, it does the
 * latter as well.
 */
final class AvroDeserializer implements Deserializer<GenericRecord> {
    private final GenericData model = new GenericData();
    private final Map<Integer, Schema> schemas = new HashMap<>();
    private final HttpClient http = HttpClient.newHttpClient();
    private final URI registry;
    private final BinaryMessageDecoder<GenericRecord> singleObject;

    AvroDeserializer(String schema) throws IOException {
        model.addLogicalTypeConversion(new TimeConversions.TimestampMillisConversion());
        registry = schema.contains("://") ? URI.create(schema) : null;
        singleObject = registry != null
            ? null
            : new BinaryMessageDecoder<>(model, new Schema.Parser().parse(Path.of(schema).toFile()));
    }

    @Override
    public GenericRecord deserialize(String topic, byte[] data) {
        try {
            return registry == null ? singleObject.decode(data) : confluent(data);
        } catch (IOException | InterruptedException e) {
            throw new SerializationException(e);
        }
    }

    private GenericRecord confluent(byte[] data) throws IOException, InterruptedException {
        var head = ByteBuffer.wrap(data);
        if (head.get() != 0) throw new SerializationException("not in the Confluent wire format");
        int id = head.getInt();
        if (!schemas.containsKey(id)) schemas.put(id, fetch(id));
        var decoder = DecoderFactory.get().binaryDecoder(data, head.position(), head.remaining(), null);
        return new GenericDatumReader<GenericRecord>(schemas.get(id), schemas.get(id), model).read(null, decoder);
    }

    private Schema fetch(int id) throws IOException, InterruptedException {
        var request = HttpRequest.newBuilder(URI.create("%s://%s:%d%s/schemas/ids/%d".formatted(
            registry.getScheme(), registry.getHost(), registry.getPort(), registry.getPath(), id)));
        if (registry.getUserInfo() != null) {
            var login = registry.getUserInfo().getBytes(StandardCharsets.UTF_8);
            request.header("Authorization", "Basic " + Base64.getEncoder().encodeToString(login));
        }
        var answer = http.send(request.build(), BodyHandlers.ofString());
        if (answer.statusCode() != 200) throw new IOException("schema " + id + ": status " + answer.statusCode());
        return new Schema.Parser().parse(new ObjectMapper().readTree(answer.body()).get("schema").asText());
    }
}
