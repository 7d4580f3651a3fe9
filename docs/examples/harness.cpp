// A harness in C++: Algorithms 3 and 4 on quadratic losses, over JSON lines.
//
//     g++ -std=c++17 -O2 harness.cpp -o harness
//     verification run --command ./harness ALG3 ALG4 RNG
//
// Wrong on purpose: ./harness --noise-eps has noise of standard deviation eps,
// ./harness --six-digits prints as std::cout does by default.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iostream>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using Vector = std::vector<double>;

static bool noise_eps = false;
static bool six_digits = false;

// --- JSON, as much as the protocol needs

struct Json {
  enum { null, number, text, list, object } kind = null;
  double value = 0;
  std::string word;
  std::size_t size = 0;                               // of a list
  Vector numbers;                                     // all that are in it, row by row
  std::vector<std::pair<std::string, Json>> members;  // of an object

  // The member of this name; null if there is none.
  const Json& operator[](const char* name) const {
    static const Json none;
    for (const auto& member : members)
      if (member.first == name) return member.second;
    return none;
  }
  double real() const {
    if (kind != number) throw std::runtime_error("expected a number");
    return value;
  }
};

struct Reader {
  const char *at, *end;

  explicit Reader(const std::string& line) : at(line.data()), end(at + line.size()) {}

  char peek() {
    while (at != end && (*at == ' ' || *at == '\t')) ++at;
    return at == end ? '\0' : *at;
  }
  bool skip(char c) { return peek() == c && ++at; }
  void need(char c) {
    if (!skip(c)) throw std::runtime_error(std::string("JSON: expected ") + c);
  }
  // The protocol's own strings have no escapes; an escaped character stands for itself.
  std::string word() {
    std::string out;
    for (need('"'); at != end && *at != '"'; ++at) {
      if (*at == '\\' && ++at == end) break;
      out += *at;
    }
    need('"');
    return out;
  }
  double number() {
    double value;
    const auto [next, fault] = std::from_chars(at, end, value);
    if (fault != std::errc()) throw std::runtime_error("JSON: expected a number");
    at = next;
    return value;
  }
  // A list of lists of ... numbers, of which the longest have a million.
  std::size_t list(Vector& out) {
    std::size_t size = 0;
    for (need('['); !skip(']'); skip(','), ++size) {
      if (peek() == '[')
        list(out);
      else if (*at == '"')
        out.push_back(spelled(word()));
      else
        out.push_back(number());
    }
    return size;
  }
  static double spelled(const std::string& word) {
    if (word == "nan") return NAN;
    if (word == "inf") return INFINITY;
    if (word == "-inf") return -INFINITY;
    throw std::runtime_error("expected a number");
  }
  Json read() {
    Json json;
    switch (peek()) {
      case '{':
        json.kind = Json::object;
        for (need('{'); !skip('}'); skip(',')) {
          std::string name = word();
          need(':');
          json.members.emplace_back(std::move(name), read());
        }
        return json;
      case '[':
        json.kind = Json::list;
        json.size = list(json.numbers);
        return json;
      case '"':
        json.kind = Json::text;
        json.word = word();
        return json;
      case 'n':
        if (end - at < 4) throw std::runtime_error("JSON: expected null");
        at += 4;
        return json;
      default:
        json.kind = Json::number;
        json.value = number();
        json.numbers = {json.value};
        return json;
    }
  }
};

// The shortest digits that read back the same.
static void print(std::string& out, double value) {
  char digits[32], *const end = digits + sizeof digits;
  if (std::isnan(value))
    out += "\"nan\"";
  else if (std::isinf(value))
    out += value > 0 ? "\"inf\"" : "\"-inf\"";
  else if (six_digits)
    out.append(digits, std::to_chars(digits, end, value, std::chars_format::general, 6).ptr);
  else
    out.append(digits, std::to_chars(digits, end, value).ptr);
}

static void print(std::string& out, const double* row, std::size_t size) {
  out += '[';
  for (std::size_t i = 0; i < size; ++i) {
    if (i) out += ',';
    print(out, row[i]);
  }
  out += ']';
}

// --- what is judged

struct NotImplemented : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// f(y) = (y - m)' H (y - m) / 2 + c
struct Quadratic {
  std::size_t d;
  Vector H, m;
  double c;

  explicit Quadratic(const Json& loss) {
    if (loss["kind"].word != "quadratic") throw NotImplemented("quadratic losses only");
    m = loss["m"].numbers;
    c = loss["c"].real();
    d = m.size();
    Vector given = loss["H"].numbers;  // one number, the diagonal, or all
    if (given.size() == d * d) {
      H = given;
    } else {
      H.assign(d * d, 0);
      for (std::size_t i = 0; i < d; ++i) H[i * d + i] = given[given.size() > 1 ? i : 0];
    }
  }
  double slope(const Vector& y, std::size_t i) const {
    double sum = 0;
    for (std::size_t k = 0; k < d; ++k) sum += H[i * d + k] * (y[k] - m[k]);
    return sum;
  }
  double operator()(const Vector& y) const {
    double sum = 0;
    for (std::size_t i = 0; i < d; ++i) sum += (y[i] - m[i]) * slope(y, i);
    return sum / 2 + c;
  }
};

// Standard normals: those that are given, in their order, or one's own.
class Normals {
  Vector given;
  std::size_t next = 0;
  std::mt19937_64 bits;
  std::normal_distribution<double> normal;

 public:
  explicit Normals(const Json& arguments) {
    const Json &draws = arguments["draws"], &seed = arguments["seed"];
    if (draws.kind == Json::list)
      given = draws.numbers;
    else if (seed.kind == Json::number)
      bits.seed(static_cast<unsigned long long>(seed.value));
    else
      bits.seed(std::random_device{}() * 4294967296ull + std::random_device{}());
  }
  double operator()() { return given.empty() ? normal(bits) : given.at(next++); }
};

static std::size_t replicates(const Json& arguments) {
  const Json &draws = arguments["draws"], &n = arguments["n"];
  if (draws.kind == Json::list) return draws.size;
  return n.kind == Json::number ? static_cast<std::size_t>(n.value) : 1;
}

// Algorithm 3: the eps-weighted mean of the states of a Langevin chain.
static Vector sgld_mean(const Json& arguments) {
  const Quadratic f(arguments["loss"]);
  const Vector x = arguments["x"].numbers, eps = arguments["step_sizes"].numbers;
  const Json& given = arguments["start"];
  const Vector start = given.kind == Json::list ? given.numbers : x;
  const double tau = arguments["tau"].real();
  const double total = std::accumulate(eps.begin(), eps.end(), 0.0);
  Normals z(arguments);
  Vector results;
  for (std::size_t n = replicates(arguments); n > 0; --n) {
    Vector y = start, before, mean(f.d, 0);
    for (std::size_t j = 0; j < eps.size(); ++j) {
      for (std::size_t i = 0; i < f.d; ++i) mean[i] += eps[j] / total * y[i];
      if (j + 1 == eps.size()) break;
      const double sd = noise_eps ? eps[j] : std::sqrt(eps[j]);
      before = y;
      for (std::size_t i = 0; i < f.d; ++i)
        y[i] += -eps[j] / 2 * (f.slope(before, i) - (x[i] - before[i]) / tau) + sd * z();
    }
    results.insert(results.end(), mean.begin(), mean.end());
  }
  return results;
}

// Algorithm 4: the mean of samples around x, weighted with exp(-f).
static Vector importance_mean(const Json& arguments) {
  const Quadratic f(arguments["loss"]);
  const Vector x = arguments["x"].numbers;
  const double root = std::sqrt(arguments["tau"].real());
  const std::size_t J = static_cast<std::size_t>(arguments["samples"].real());
  Normals z(arguments);
  Vector results, values(J);
  std::vector<Vector> samples(J, Vector(f.d));
  for (std::size_t n = replicates(arguments); n > 0; --n) {
    for (std::size_t j = 0; j < J; ++j) {
      for (std::size_t i = 0; i < f.d; ++i) samples[j][i] = x[i] + root * z();
      values[j] = f(samples[j]);
    }
    const double least = *std::min_element(values.begin(), values.end());
    double total = 0;
    Vector mean(f.d, 0);
    for (std::size_t j = 0; j < J; ++j) {
      const double weight = std::exp(least - values[j]);
      total += weight;
      for (std::size_t i = 0; i < f.d; ++i) mean[i] += weight * samples[j][i];
    }
    for (double entry : mean) results.push_back(entry / total);
  }
  return results;
}

// --- the protocol

static std::string answer(const Json& message) {
  const std::string& what = message["message"].word;
  std::string out = "\"result\":";
  if (what == "start")
    return out + R"({"name":"samplers in C++","methods":["sgld_mean","importance_mean"]})";
  if (what == "echo") {
    const Vector numbers = message["numbers"].numbers;
    print(out, numbers.data(), numbers.size());
    return out;
  }
  const Json& arguments = message["arguments"];
  const bool chain = message["method"].word == "sgld_mean";
  const Vector rows = chain ? sgld_mean(arguments) : importance_mean(arguments);
  const std::size_t d = arguments["x"].size;
  for (std::size_t at = 0; at < rows.size(); at += d) {
    out += at ? ',' : '[';
    print(out, &rows[at], d);
  }
  return out + ']';
}

int main(int count, char** words) {
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word == "--noise-eps") noise_eps = true;
    if (word == "--six-digits") six_digits = true;
  }
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    const Json message = Reader(line).read();
    if (message["message"].word == "stop") break;
    std::string out;
    try {
      out = answer(message);
    } catch (const NotImplemented& reason) {
      out = std::string("\"not-implemented\":\"") + reason.what() + '"';
    } catch (const std::exception& reason) {
      out = std::string("\"error\":\"") + reason.what() + '"';
    }
    std::cout << "{\"id\":" << static_cast<long long>(message["id"].value) << ','
              << out << '}' << std::endl;
  }
}
