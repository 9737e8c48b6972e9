import JSON
import TestSupport
import Testing
import Tokenizers

/// A template, and what is put into it, may be written by somebody who wants to stop the server.
@Suite struct TemplateLimitTests {
  static let limits = TemplateLimits(maxSteps: 200_000, maxProducedBytes: 1 << 20, maxOutputBytes: 1 << 16)

  static func problem(_ source: String, _ variables: JSONObject = [:]) -> TemplateError.Problem? {
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
    "{{ [0] * 1000000000 }}", "{{ (1,) * 9223372036854775807 }}",
    "{{ range(100000)|list + range(100000)|list }}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
    "{% set ns = namespace(l=[1, 2]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l == [] or ns.l == ns.l }}",
    "{% set ns = namespace(l=[1, 2]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l|tojson }}",
    "{% set ns = namespace(l=[1, 2]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
    "{{ [1]|batch(1000000000, 0)|list }}", "{{ [1]|slice(1000000000)|list }}",
    "{% for i in range(100000) %}{{ range(100000)|sum }}{% endfor %}",
  ])
  func workIsBounded(source: String) {
    #expect(Self.problem(source) == .limit(.steps(200_000)))
  }

  @Test(arguments: [
    "{{ 'a' * 1000000000 }}", "{{ 'a' * 9223372036854775807 }}", "{{ 'a'.center(1000000000) }}",
    "{{ 'a'|center(9223372036854775807) }}",
    "{{ 'a'.zfill(1000000000) }}", "{{ 'a'.ljust(9223372036854775807) }}",
    "{{ '\\t'.expandtabs(1000000000) }}", "{{ 'a\nb'|indent(1000000000) }}",
    "{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = ns.s|replace('', ns.s) %}{% endfor %}",
    "{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = ns.s.join([ns.s, ns.s]) %}{% endfor %}",
    "{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = '%s%s' % (ns.s, ns.s) %}{% endfor %}",
    "{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = '{0}{0}'.format(ns.s) %}{% endfor %}",
    "{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s %}{{ ns.s }}{{ ns.s }}{% endset %}{% endfor %}",
    "{% macro m(s) %}{{ s }}{{ s }}{% endmacro %}{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = m(ns.s) %}{% endfor %}",
    "{% set ns = namespace(s='ab' * 60000) %}{% for i in range(1000) %}{% set x = ns.s.upper() %}{% endfor %}",
    "{% set ns = namespace(s='ab' * 60000) %}{% for i in range(1000) %}{% set x = ns.s|length %}{% endfor %}",
    "{% set ns = namespace(s='ab' * 60000) %}{% for i in range(1000) %}{% set x = 'x' in ns.s %}{% endfor %}",
    "{% set ns = namespace(s='\"' * 60000) %}{% for i in range(1000) %}{% set ns.s = ns.s|tojson %}{% endfor %}",
  ])
  func textIsBounded(source: String) {
    switch Self.problem(source) {
    case .limit(.producedBytes), .limit(.outputBytes): break
    case let other: Issue.record("\(String(describing: other))")
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
