import JSON
import TestSupport
import Testing
import Tokenizers

/// A template, and what is put into it, may be written by somebody who wants to stop the server.
@Suite struct TemplateLimitTests {
  static let limits = TemplateLimits(maxSteps: 200_000, maxProducedBytes: 1 << 20, maxOutputBytes: 1 << 16)

  static func problem(
    _ source: String, _ variables: JSONObject = [:], limits: TemplateLimits = limits
  ) -> TemplateError.Problem? {
    do {
      _ = try ChatTemplate(source: source).render(variables, limits: limits)
      return nil
    } catch {
      return error.problem
    }
  }

  @Test(arguments: [
    "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "{% for a in range(1000) %}{% for b in range(1000) if false %}{% endfor %}{% endfor %}",
    "{% for i in range(100000) %}{{ range(100000)|sum }}{% endfor %}",
    "{{ [0] * 1000000000 }}", "{{ (1,) * 9223372036854775807 }}",
    "{{ range(100000)|list + range(100000)|list }}",
    "{{ [1]|batch(1000000000, 0)|list }}", "{{ [1]|slice(1000000000)|list }}",
  ])
  func workIsBounded(source: String) {
    #expect(Self.problem(source) == .limit(.steps(200_000)))
  }

  /// The list shares its parts: as a tree it has 2^60 leaves.
  @Test(arguments: ["{{ ns.l }}", "{{ ns.l|tojson }}", "{{ ns.l == ns.l }}", "{{ [ns.l, ns.l]|sort }}"])
  func workOnSharedListsIsBounded(use: String) {
    let source = """
      {% set ns = namespace(l=[1, 2]) %}
      {% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}
      \(use)
      """
    #expect(Self.problem(source) == .limit(.steps(200_000)))
  }

  @Test func listsThatDoubleAreBounded() {
    let source = """
      {% set ns = namespace(l=[1]) %}
      {% for i in range(100) %}{% set ns.l = ns.l + ns.l %}{% endfor %}
      """
    #expect(Self.problem(source) == .limit(.steps(200_000)))
  }

  @Test(arguments: [
    "{{ 'a' * 1000000000 }}", "{{ 'a' * 9223372036854775807 }}", "{{ 'a'.center(1000000000) }}",
    "{{ 'a'|center(9223372036854775807) }}", "{{ 'a'.zfill(1000000000) }}",
    "{{ 'a'.ljust(9223372036854775807) }}",
    "{{ '\\t'.expandtabs(1000000000) }}", "{{ 'a\nb'|indent(1000000000) }}",
  ])
  func textIsBounded(source: String) {
    #expect(Self.problem(source) == .limit(.producedBytes(1 << 20)))
  }

  @Test(arguments: [
    "{% set ns.s = ns.s + ns.s %}", "{% set ns.s = ns.s ~ ns.s %}", "{% set ns.s = ns.s|replace('', ns.s) %}",
    "{% set ns.s = ns.s.join([ns.s, ns.s]) %}", "{% set ns.s = '%s%s' % (ns.s, ns.s) %}",
    "{% set ns.s = '{0}{0}'.format(ns.s) %}", "{% set ns.s %}{{ ns.s }}{{ ns.s }}{% endset %}",
    "{% macro m(s) %}{{ s }}{{ s }}{% endmacro %}{% set ns.s = m(ns.s) %}",
    "{% set ns.s = ('\"' ~ ns.s)|tojson %}",
    "{% set ns.s = [ns.s, ns.s]|string %}", "{% set ns.s = ns.s * 2 %}",
  ])
  func textThatGrowsInALoopIsBounded(statement: String) {
    let source = "{% set ns = namespace(s='ab') %}{% for i in range(100) %}\(statement){% endfor %}"
    let limits = TemplateLimits(maxProducedBytes: 1 << 15, maxOutputBytes: 1 << 14)
    switch Self.problem(source, limits: limits) {
    case .limit(.producedBytes), .limit(.outputBytes): break
    case let other: Issue.record("\(String(describing: other))")
    }
  }

  /// What only looks at text costs as much as what makes text.
  @Test(arguments: [
    "s.upper()", "s|length", "'x' in s", "s[0]", "s[::2]", "s.find('x')", "s|trim", "s.split('x')",
    "s.startswith('x')",
    "s|wordcount", "s|tojson", "s|e", "s|int", "s|float", "s == s[:] ~ ''", "s < s", "s in [s]", "d[s]",
    "s in d",
    "d.get(s)", "{s: 1}", "d == {s: 1}", "'a'.strip(s)", "'a'|trim(s)", "'a'.rfind(s)",
    "d|map(attribute=s)|list",
    "[s]|unique|list", "s is upper", "'%s' % s", "'{}'.format(s)",
  ])
  func looksAtLongTextAreBounded(expression: String) {
    let source =
      "{% set s = 'ab' * 60000 %}{% set d = {'a': s} %}{% for i in range(1000) %}{% set x = \(expression) %}{% endfor %}"
    switch Self.problem(source) {
    case .limit(.producedBytes), .limit(.steps): break
    case let other: Issue.record("\(String(describing: other))")
    }
  }

  /// The smallest and largest numbers, wherever one can be given.
  @Test(arguments: [
    "'ab'[n:m:n]", "'ab'[m:n:m]", "'ab'[::n]", "[1, 2][::m]", "(1, 2)[n:]", "range(5)[::n]", "range(5)[m::m]",
    "range(0, m, m)[::m]",
    "range(n, m, m)[::2]", "range(n, n + 5)[::n]", "'-a'.zfill(n)", "'a'.center(n)", "'a'.ljust(n)",
    "'a'|center(n)", "'a'.expandtabs(n)", "'a\nb'|indent(n)",
    "'a b'.split(none, n)", "'a b'.rsplit(' ', n)", "'a b'.replace('a', 'b', n)", "'ab'.find('b', n, m)",
    "'ab'.count('b', m, n)", "'ab'.startswith('a', n, m)",
    "[1].index(1, n, m)", "1|round(n)", "1|round(m)", "1.5|round(n)", "1.5|round(m)", "1.5|round(n, 'ceil')",
    "n|round(-1)", "n|abs", "-n", "n // -1", "n % -1",
    "n * n", "m + m", "n - 1", "2 ** m", "n ** 2", "1 // n", "m ** n", "1.5 ** m", "'%c' % n",
    "'%*d' % (n, 1)", "'{:c}'.format(m)", "'%d' % n", "'%x' % n", "'{:,}'.format(n)",
    "'a'|int(base=n)", "[1, 2]|batch(n)|list", "[1, 2]|slice(n)|list", "'abc'|truncate(m)",
    "'abc'|truncate(n)", "'abc'|truncate(3, leeway=m)", "[1]|tojson(indent=n)",
    "[n, m]|sum", "n|tojson", "n == -9.3e18", "m < 9.3e18", "n|float|int", "1e300|int", "[1][n]", "'a'[m]",
    "range(3)[n]", "n in range(3)", "n|string", "{n: m}[n]",
  ])
  func extremeNumbersEndInAValueOrAnError(expression: String) throws {
    let template = try ChatTemplate(source: "{{ \(expression) }}")
    for variables: JSONObject in [
      ["n": .integer(.min), "m": .integer(.max)], ["n": .integer(.max), "m": .integer(.min)],
      ["n": .integer(-1), "m": 0],
    ] {
      let result = Result { () throws(TemplateError) in try template.render(variables, limits: Self.limits) }
      if case .failure(let error) = result { #expect(error.line == 1) }
    }
  }

  @Test func outputIsBounded() {
    let source = "{% for i in range(100000) %}0123456789{% endfor %}"
    #expect(Self.problem(source) == .limit(.outputBytes(1 << 16)))
  }

  @Test(arguments: [
    "{{ '%1000000000d' % 1 }}", "{{ '%.1000000000f' % 1.5 }}", "{{ '{:1000000000}'.format(1) }}",
    "{{ '%*d' % (1000000000, 1) }}",
    "{{ [1]|tojson(indent=1000000000) }}",
  ])
  func formatsAreBounded(source: String) {
    guard case .value = Self.problem(source) else {
      Issue.record("\(String(describing: Self.problem(source)))")
      return
    }
  }

  @Test func rangesAreBounded() {
    for bounds in [
      "100001", "0, 9223372036854775807", "-9223372036854775807, 9223372036854775807", "5, -100000, -1",
    ] {
      #expect(Self.problem("{{ range(\(bounds)) }}") == .limit(.range))
    }
    #expect(Self.problem("{{ range(9223372036854775806, 9223372036854775807)|list }}") == nil)
    #expect(
      Self.problem("{{ range(-9223372036854775807, 9223372036854775807, 9223372036854775807)|list }}") == nil)
  }

  @Test func recursionIsBounded() {
    let macro = "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}"
    #expect(Self.problem(macro) == .limit(.depth(500)))
    let mutual =
      "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{% if true %}{{ a() }}{% endif %}{% endmacro %}{{ a() }}"
    #expect(Self.problem(mutual) == .limit(.depth(500)))
    let loop = "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"
    #expect(Self.problem(loop) == .limit(.depth(500)))
    let caller = "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}"
    #expect(Self.problem(caller) == .limit(.depth(500)))
  }

  @Test(arguments: [
    ("(", "1", ")"), ("[", "1", "]"), ("{1:", "1", "}"), ("-", "1", ""), ("not ", "1", ""),
    ("1 if 1 else ", "1", ""), ("f(", "1", ")"), ("x[", "1", "]"),
    ("", "1", "|abs"), ("", "1", ".a"), ("", "1", " + 1"), ("", "1", " and 1"), ("", "1", "()"),
    ("", "1", "[0]"), ("", "1", " is true"), ("1 is divisibleby ", "1", ""),
  ])
  func expressionsNestedTooDeepAreRefused(open: String, inner: String, close: String) {
    for depth in [300, 10_000] {
      let expression = String(repeating: open, count: depth) + inner + String(repeating: close, count: depth)
      let problem = Self.problem("{{ \(expression) }}")
      if case .syntax = problem { continue }
      #expect(problem == .limit(.syntaxDepth), "\(open) \(close)")
    }
  }

  @Test func statementsNestedTooDeepAreRefused() {
    for (open, close) in [
      ("{% if 1 %}", "{% endif %}"), ("{% for x in y %}", "{% endfor %}"),
      ("{% macro m() %}", "{% endmacro %}"), ("{% set x %}", "{% endset %}"),
      ("{% call m() %}", "{% endcall %}"),
    ] {
      let source = String(repeating: open, count: 3_000) + String(repeating: close, count: 3_000)
      #expect(Self.problem(source) == .limit(.syntaxDepth))
    }
    let chain = "{% if 0 %}" + String(repeating: "{% elif 0 %}", count: 3_000) + "{% endif %}"
    #expect(Self.problem(chain) == nil)
  }

  @Test func longSourcesAreRefused() {
    let error = #expect(throws: TemplateError.self) {
      try ChatTemplate(source: String(repeating: "x", count: (4 << 20) + 1))
    }
    #expect(error == TemplateError(.limit(.source), line: 0))
  }

  /// Values are printed, compared and freed recursively; a loop could build one of any depth.
  @Test(arguments: [
    "{% set ns = namespace(v=1) %}{% for i in range(20000) %}{% set ns.v = [ns.v] %}{% endfor %}",
    "{% set ns = namespace(v=1) %}{% for i in range(20000) %}{% set ns.v = {'a': ns.v} %}{% endfor %}",
    "{% set ns = namespace(v=1) %}{% for i in range(20000) %}{% set ns.v = (ns.v,) %}{% endfor %}",
    "{% set ns = namespace(v=[]) %}{% for i in range(20000) %}{% set ns.v = [ns.v]|map('list') %}{% endfor %}",
    "{% set ns = namespace(v={}) %}{% for i in range(20000) %}{% set ns.v = {'a': ns.v}.items() %}{% endfor %}",
    "{% set ns = namespace(v=[]) %}{% for i in range(20000) %}{% set ns.v = [ns.v].copy %}{% endfor %}",
    "{% set ns = namespace(v=[1]) %}{% for i in range(20000) %}{% for x in [ns.v] %}{% set ns.v = loop %}{% endfor %}{% endfor %}",
  ])
  func valuesNestedTooDeepAreRefused(source: String) {
    #expect(Self.problem(source) == .limit(.valueDepth))
  }

  @Test func namespacesInCyclesAreFreedAndPrintedWithoutEnd() {
    #expect(
      Self.problem("{% set ns = namespace() %}{% set ns.a = ns %}{% set ns.b = [ns, {'x': ns}] %}") == nil)
    #expect(Self.problem("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}") == .limit(.valueDepth))
    let chain = """
      {% set h = namespace(c=namespace()) %}
      {% for i in range(10000) %}{% set c = h.c %}{% set n = namespace() %}{% set c.next = n %}{% set h.c = n %}{% endfor %}
      """
    #expect(Self.problem(chain) == nil)
    let closures = """
      {% set ns = namespace(m=none) %}
      {% macro wrap(old) %}{% macro new() %}{{ old }}{% endmacro %}{% set ns.m = new %}{% endmacro %}
      {% for i in range(5000) %}{{ wrap(ns.m) }}{% endfor %}
      """
    #expect(Self.problem(closures) == nil)
  }

  @Test func deepInputIsPrintedUpToTheLimit() throws {
    func nested(_ depth: Int) throws -> JSONObject {
      let text = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
      return ["v": try JSONValue.parse(text, limits: JSONLimits(maxDepth: depth))]
    }
    for source in ["{{ v }}", "{{ v|tojson }}", "{{ v == v }}", "{% set w = v %}"] {
      #expect(Self.problem(source, try nested(900)) == nil)
    }
    #expect(Self.problem("{{ v }}", try nested(2000)) == .limit(.valueDepth))
    #expect(Self.problem("{% set w = v %}", try nested(2000)) == .limit(.valueDepth))
  }

  @Test func searchingTakesLinearTime() {
    let text = String(repeating: "a", count: 200_000)
    let pattern = String(repeating: "a", count: 100_000) + "b"
    for source in [
      "{{ p in t }}", "{{ t.find(p) }}", "{{ t.rfind(p) }}", "{{ t|replace(p, '') == t }}",
      "{{ t.rsplit(p)|length }}", "{{ t.count(p) }}",
    ] {
      #expect(Self.problem(source, ["t": .string(text), "p": .string(pattern)]) == nil)
    }
  }

  @Test(
    arguments: [
      ("a\n{% nosuch %}", 2, .unknownTag("nosuch")), ("a\n\n{{ x|nosuch }}", 3, .unknownFilter("nosuch")),
      ("{# \n\n #}{{ x is nosuch }}", 3, .unknownTest("nosuch")),
      ("\n{{ x.y }}", 2, .undefined("'x' is undefined")),
      ("\n\n{% for i in [1] %}\n{{ i.a.b }}{% endfor %}", 4, .undefined("'int object' has no attribute 'a'")),
      ("{{ raise_exception('no') }}", 1, .raised("no")),
      ("{{ ''.__class__() }}", 1, .unsafe("access to attribute '__class__' of 'str' object is unsafe")),
      ("{% macro m() %}\n{{ 1 // 0 }}{% endmacro %}\n{{ m() }}", 2, .divisionByZero),
      ("{{ 9223372036854775807 + 1 }}", 1, .integerOverflow),
      ("{{ 9223372036854775808 }}", 1, .integerOverflow),
      ("{{ [].append(1) }}", 1, .unsafe("access to attribute 'append' of 'list' object is unsafe")),
      ("x\n{{ 1 +", 2, .syntax("unexpected end of the template inside a tag, expected '}}'")),
      ("{{ 'a' + 1 }}", 1, .type("unsupported operand type(s) for +: 'str' and 'int'")),
    ] as [(String, Int, TemplateError.Problem)])
  func anErrorNamesItsLineAndReason(source: String, line: Int, problem: TemplateError.Problem) {
    #expect(throws: TemplateError(problem, line: line)) { try ChatTemplate(source: source).render([:]) }
  }

  @Test func everyPrefixOfATemplateIsHandled() throws {
    let source = try ChatTemplateTests.source("mistral")
    let scalars = Array(source.unicodeScalars)
    let variables: JSONObject = ["messages": [["role": "user", "content": "x"]], "bos_token": "<s>"]
    for count in stride(from: 0, to: scalars.count, by: 7) {
      let prefix = String(String.UnicodeScalarView(scalars.prefix(count)))
      do {
        _ = try ChatTemplate(source: prefix).render(variables, limits: Self.limits)
      } catch {
        #expect(error.line > 0)
      }
    }
  }
}
