‰PNG

 and so on, of no use