/// Whatever a pickle holds, it is refused in one line, or is a dictionary, from which an array is taken or refused.
func fuzzPickle(_ input: UnsafeBufferPointer<UInt8>) {
  mayRefuse {
    let fields = try Pickle.dictionary(Array(input), "a")
    let content = try Pickle.bytes(of: fields["data"], shape: [2, 3], "a")
    precondition(content.count == 6)
  }
}
