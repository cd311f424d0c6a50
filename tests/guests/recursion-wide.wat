;; Calls itself without end, with frames of many vectors.
(module
  (func $deeper (param v128 v128 v128 v128 v128 v128 v128 v128) (result v128)
    (i8x16.add
      (call $deeper (local.get 7) (local.get 6) (local.get 5) (local.get 4)
        (local.get 3) (local.get 2) (local.get 1) (local.get 0))
      (i8x16.add (local.get 0) (i8x16.add (local.get 1) (i8x16.add (local.get 2)
        (i8x16.add (local.get 3) (i8x16.add (local.get 4) (i8x16.add (local.get 5)
          (i8x16.add (local.get 6) (local.get 7))))))))))
  (func (export "_start") (local v128)
    (drop (call $deeper (local.get 0) (local.get 0) (local.get 0) (local.get 0)
      (local.get 0) (local.get 0) (local.get 0) (local.get 0)))))
