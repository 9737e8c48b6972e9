/// Values of `format` that are kept, as regular expressions for the whole string. All of them describe less than the
/// standards they name: what is generated is valid, not everything valid is generated.
enum SchemaFormats {
  static func regex(_ name: String) -> String? { table[name] }

  private static let date =
    "[0-9]{4}-(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|[0-9]{4}-(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    + "|[0-9]{4}-02-(0[1-9]|1[0-9]|2[0-8])"
  private static let time = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?"
  private static let zone = "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
  private static let label = "[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
  private static let byte = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"

  private static let table: [String: String] = [
    // RFC 3339
    "date": date,
    "time": time + zone,
    "date-time": "(\(date))T" + time + zone,
    "duration":
      "P([0-9]{1,6}W|[0-9]{1,6}Y([0-9]{1,6}M([0-9]{1,6}D)?)?|[0-9]{1,6}M([0-9]{1,6}D)?|[0-9]{1,6}D)|"
      + "PT([0-9]{1,6}H([0-9]{1,6}M([0-9]{1,6}S)?)?|[0-9]{1,6}M([0-9]{1,6}S)?|[0-9]{1,6}S)",
    // RFC 9562
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    // RFC 5321, the unquoted form
    "email": "[A-Za-z0-9_+-]{1,20}(\\.[A-Za-z0-9_+-]{1,20}){0,2}@\(label)(\\.\(label)){1,3}",
    "hostname": "\(label)(\\.\(label)){0,4}",
    "ipv4": "\(byte)(\\.\(byte)){3}",
    "ipv6": "[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}",
    // RFC 3986, with an authority
    "uri": "[a-z][a-z0-9+.-]{1,10}://\(label)(\\.\(label)){0,4}(:[0-9]{1,4})?(/[A-Za-z0-9_.~-]{0,40}){0,8}"
      + "(\\?[A-Za-z0-9_.~=&-]{0,80})?(#[A-Za-z0-9_.~-]{0,40})?",
  ]
}
