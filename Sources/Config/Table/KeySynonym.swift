/// A key's names in other programs, for those who type them here.
package struct KeySynonym: Sendable {
  let key: String
  /// What differs beyond the name; empty = nothing.
  let remark: String
  let names: [String]

  init(_ key: String, _ remark: String = "", _ names: String...) {
    (self.key, self.remark, self.names) = (key, remark, names)
  }
}
