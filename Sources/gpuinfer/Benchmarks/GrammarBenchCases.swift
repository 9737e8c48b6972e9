/// Schemas of the kinds that people send, each with a text that satisfies it.
enum GrammarBenchCases {
  struct Case {
    let name: String
    let schema: String
    let text: String
  }

  static let all: [Case] = [
    Case(
      name: "weather tool",
      schema: #"""
        {"type":"object","properties":{"location":{"type":"string","description":"City and country"},
        "unit":{"enum":["celsius","fahrenheit"]},"days":{"type":"integer","minimum":1,"maximum":14}},
        "required":["location","unit"],"additionalProperties":false}
        """#, text: #"{"location": "Reykjavík, Iceland", "unit": "celsius", "days": 7}"#),
    Case(
      name: "person",
      schema: #"""
        {"type":"object","properties":{"name":{"type":"string","minLength":1,"maxLength":80},
        "email":{"type":"string","format":"email"},"born":{"type":"string","format":"date"},
        "age":{"type":"integer","minimum":0,"maximum":130},"tags":{"type":"array","items":{"type":"string","maxLength":20},
        "maxItems":10},"address":{"type":"object","properties":{"street":{"type":"string"},"city":{"type":"string"},
        "zip":{"type":"string","pattern":"^[0-9]{5}(-[0-9]{4})?$"}},"required":["street","city"]}},
        "required":["name","age","address"]}
        """#,
      text: #"""
        {
          "name": "Ada Lovelace",
          "email": "ada@analytical-engines.example.org",
          "born": "1815-12-10",
          "age": 36,
          "tags": ["mathematics", "computing", "poetry"],
          "address": {"street": "12 St James's Square", "city": "London", "zip": "10115-0001"}
        }
        """#),
    Case(
      name: "order",
      schema: #"""
        {"$defs":{"money":{"type":"object","properties":{"amount":{"type":"number","minimum":0},
        "currency":{"enum":["EUR","USD","GBP","JPY"]}},"required":["amount","currency"]},
        "item":{"type":"object","properties":{"sku":{"type":"string"},"title":{"type":"string"},"quantity":{"type":"integer"},
        "price":{"$ref":"#/$defs/money"},"gift":{"type":"boolean"},"note":{"anyOf":[{"type":"string"},{"type":"null"}]}},
        "required":["sku","quantity","price"]}},"type":"object","properties":{"id":{"type":"string","format":"uuid"},
        "created":{"type":"string","format":"date-time"},"status":{"enum":["new","paid","shipped","returned"]},
        "items":{"type":"array","items":{"$ref":"#/$defs/item"},"minItems":1},"total":{"$ref":"#/$defs/money"}},
        "required":["id","created","status","items","total"]}
        """#,
      text: #"""
        {"id": "4d1f0a9e-33c7-4a52-9d6e-0b5f6c2e7a11", "created": "2026-11-25T18:04:11Z", "status": "paid", "items": [
        {"sku": "BK-1043", "title": "A Field Guide to the Birds of Northern Europe", "quantity": 2, "price": {"amount": 24.5,
        "currency": "EUR"}, "gift": true, "note": "Please wrap both copies separately, thank you!"}, {"sku": "PN-77",
        "quantity": 10, "price": {"amount": 0.99, "currency": "EUR"}, "note": null}], "total": {"amount": 58.9,
        "currency": "EUR"}}
        """#),
    Case(
      name: "tree",
      schema: #"""
        {"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"value":{"type":"string"},
        "children":{"type":"array","items":{"$ref":"#/$defs/node"}}},"required":["value","children"]}}}
        """#,
      text: #"""
        {"value": "root", "children": [{"value": "left", "children": []}, {"value": "right", "children": [
        {"value": "leaf of the right branch", "children": []}, {"value": "another leaf", "children": [{"value":
        "deepest", "children": []}]}]}]}
        """#),
    Case(
      name: "union",
      schema: #"""
        {"type":"array","maxItems":8,"items":{"oneOf":[{"type":"object","properties":{"kind":{"const":"text"},
        "content":{"type":"string"}},"required":["kind","content"]},{"type":"object","properties":{"kind":{"const":"image"},
        "url":{"type":"string","format":"uri"},"width":{"type":"integer"},"height":{"type":"integer"}},
        "required":["kind","url"]},{"type":"object","properties":{"kind":{"const":"table"},"rows":{"type":"array",
        "items":{"type":"array","items":{"type":["string","number","null"]}}}},"required":["kind","rows"]}]}}
        """#,
      text: #"""
        [{"kind": "text", "content": "The quarter's figures follow; they were better than anyone had hoped."}, {"kind":
        "table", "rows": [["region", "sales", null], ["north", 1234.5, null], ["south", 987, "estimate"]]}, {"kind":
        "image", "url": "https://cdn.example.com/charts/q3.png", "width": 1280, "height": 720}]
        """#),
    Case(
      name: "any object", schema: #"{"type":"object"}"#,
      text: #"""
        {"model": "demo", "settings": {"temperature": 0.7, "stop": ["\n\n", "END"], "seed": null, "stream": true}, "notes":
        "Prices \"include\" VAT — naïve résumé, 日本語, 🙂.", "nested": [[1, 2, [3, [4e2]]], {"a": {"b": {"c": []}}}]}
        """#),
  ]
}
