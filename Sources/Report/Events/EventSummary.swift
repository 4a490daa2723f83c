/// What TensorBoard shows of a step: scalars, histograms, a picture, a text.
///
/// Source of the fields: `tensorflow/core/framework/summary.proto`.
package struct EventSummary {
  private(set) var message = ProtobufMessage()
  var isEmpty: Bool { message.bytes.isEmpty }

  package init() {}

  /// In single precision, as TensorBoard keeps it.
  mutating func add(_ tag: String, scalar: Double) {
    add(tag) { $0.add(2, Float(scalar)) }
  }

  /// One bar for each number, such as an expert's share: bar i lies between i and i + 1.
  mutating func add(_ tag: String, bars: [Double]) {
    let middles = bars.indices.map { Double($0) + 0.5 }
    var histogram = ProtobufMessage()
    // The smallest value, field 1, is 0, which is what a field has that is left out.
    histogram.add(2, Double(bars.count))
    histogram.add(3, bars.reduce(0, +))
    histogram.add(4, zip(bars, middles).reduce(0) { $0 + $1.0 * $1.1 })
    histogram.add(5, zip(bars, middles).reduce(0) { $0 + $1.0 * $1.1 * $1.1 })
    histogram.add(6, bars.indices.map { Double($0 + 1) })
    histogram.add(7, bars)
    add(tag) { $0.add(5, histogram) }
  }

  /// - Parameter png: of three color channels.
  package mutating func add(_ tag: String, png: [UInt8], width: Int, height: Int) {
    var image = ProtobufMessage()
    image.add(1, height)
    image.add(2, width)
    image.add(3, 3)
    image.add(4, png)
    add(tag) { $0.add(4, image) }
  }

  /// - Parameter text: shown as Markdown.
  package mutating func add(_ tag: String, text: String) {
    var dimension = ProtobufMessage()
    dimension.add(1, 1)
    var shape = ProtobufMessage()
    shape.add(2, dimension)
    var tensor = ProtobufMessage()
    // DT_STRING
    tensor.add(1, 7)
    tensor.add(2, shape)
    tensor.add(8, text)
    var plugin = ProtobufMessage()
    plugin.add(1, "text")
    var metadata = ProtobufMessage()
    metadata.add(1, plugin)
    add(tag) {
      $0.add(8, tensor)
      $0.add(9, metadata)
    }
  }

  private mutating func add(_ tag: String, _ content: (inout ProtobufMessage) -> Void) {
    var value = ProtobufMessage()
    value.add(1, tag)
    content(&value)
    message.add(1, value)
  }
}
