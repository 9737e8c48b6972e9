/// A quantised weight in the layout of one backend's kernels, made from a canonical store when it was placed.
package protocol PlacedWeight: AnyObject {
  var outputs: Int { get }
  var inputs: Int { get }
  /// On the device, with scales and all else.
  var byteCount: Int { get }
  /// As of the store that it was made from.
  var summary: String { get }
}
