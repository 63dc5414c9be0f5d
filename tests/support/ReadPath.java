// The README's read path (in the place of READ_PATH) against the Redis at port args[0].
// Lines on stdin: KEY VERSION PAYLOAD PATIENCE; VERSION - for no row, ! where MySQL fails.  Answers a line each: VALUE LOADS.
import java.util.*;
import java.util.function.Supplier;
import redis.clients.jedis.JedisPooled;
import redis.clients.jedis.UnifiedJedis;
import redis.clients.jedis.exceptions.JedisException;

class ReadPath {
//READ_PATH

  static int loads;

  static Row load(String version, String payload) {
    loads++;
    if (version.equals("!")) throw new IllegalStateException("MySQL is down");
    return version.equals("-") ? null : new Row(Long.parseLong(version), payload);
  }

  public static void main(String[] args) throws Exception {
    Scanner lines = new Scanner(System.in);
    try (UnifiedJedis redis = new JedisPooled("127.0.0.1", Integer.parseInt(args[0]))) {
      while (lines.hasNextLine()) {
        String[] words = lines.nextLine().split(" ");
        String value = "default";
        try {
          value = read(redis, words[0], () -> load(words[1], words[2]), 600_000, Long.parseLong(words[3]));
        } catch (IllegalStateException e) {
          // what a page can do without MySQL
        }
        System.out.println(value + " " + loads);
      }
    }
  }
}
