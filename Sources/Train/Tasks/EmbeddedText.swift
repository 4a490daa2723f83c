enum EmbeddedText {
  static func prepare(sink: any TextSink) throws -> String { throw TrainError("--data: none given") }
}
